package publisher

import (
	"fmt"

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

// settle counts a pending event by its result.
func (l *ledger) settle(r Result) {
	switch {
	case r.Err != nil:
		l.fail(r.Err)
	case r.Duplicate:
		l.duplicates++
	default:
		l.published++
	}
	if seq := r.ID.Seq; seq != 0 {
		if l.first == 0 || seq < l.first {
			l.first = seq
		}
		l.last = max(l.last, seq)
	}
	if l.pending--; l.pending == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// fail counts an event that the log does not hold as far as is known.
func (l *ledger) fail(err error) {
	if l.failed++; l.failure == nil {
		l.failure = err
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
