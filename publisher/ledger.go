package publisher

import (
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// Summary is the account of a publisher's events.
type Summary struct {
	// Published events were stored since the publisher began.
	Published uint64 `json:"published"`
	// Duplicates are events that the log already held.
	Duplicates uint64 `json:"duplicates"`
	// Failed events were refused or given up.
	Failed uint64 `json:"failed"`
	// FirstID and LastID are the lowest and the highest event id (event.ID)
	// that was acknowledged, duplicates included; "" when there is none.
	FirstID string `json:"first_id"`
	LastID  string `json:"last_id"`
}

// ledger keeps the account. It is guarded by Publisher.mu.
type ledger struct {
	pending                       int // events taken and not settled
	published, duplicates, failed uint64
	first, last                   uint64 // sequences acknowledged
	failure                       error  // of the first failed event
	idle                          chan struct{}
}

// acknowledge counts an event that the log holds; the duplicate was there
// before this publisher sent it.
func (l *ledger) acknowledge(ack *jetstream.PubAck, duplicate bool) {
	if duplicate {
		l.duplicates++
	} else {
		l.published++
	}
	if ack.Sequence != 0 {
		if l.first == 0 || ack.Sequence < l.first {
			l.first = ack.Sequence
		}
		l.last = max(l.last, ack.Sequence)
	}
}

// fail counts an event that the log does not hold as far as is known.
func (l *ledger) fail(err error) {
	if l.failed++; l.failure == nil {
		l.failure = err
	}
}

// settled takes an event out of the pending ones.
func (l *ledger) settled() {
	if l.pending--; l.pending == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// whenIdle is closed once nothing is pending.
func (l *ledger) whenIdle() <-chan struct{} {
	if l.pending == 0 {
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	return l.idle
}

func (l *ledger) err() error {
	if l.failed == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d failed, the first: %w", ErrFailed, l.failed, l.failure)
}

func (l *ledger) summary(epoch int64) Summary {
	s := Summary{Published: l.published, Duplicates: l.duplicates, Failed: l.failed}
	if l.first != 0 {
		s.FirstID = event.ID{Epoch: epoch, Seq: l.first}.String()
		s.LastID = event.ID{Epoch: epoch, Seq: l.last}.String()
	}
	return s
}
