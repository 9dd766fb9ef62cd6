package publisher

import (
	"fmt"
	"sync"

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

// ledger counts events by their results.
type ledger struct {
	mu                            sync.Mutex
	pending                       int // events without a result
	published, duplicates, failed uint64
	first, last                   uint64 // sequences acknowledged
	failure                       error  // of the first failed event
	idle                          chan struct{}
}

// begin counts an event as pending.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending++
}

// end takes back a begin.
func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended()
}

// settle counts a pending event by its result.
func (l *ledger) settle(r Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.ended()
}

// refuse counts an event that never was pending as failed.
func (l *ledger) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
}

func (l *ledger) fail(err error) {
	if l.failed++; l.failure == nil {
		l.failure = err
	}
}

func (l *ledger) ended() {
	if l.pending--; l.pending == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// whenIdle is closed once nothing is pending.
func (l *ledger) whenIdle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d failed, the first: %w", ErrFailed, l.failed, l.failure)
}

func (l *ledger) summary(epoch int64) Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{Published: l.published, Duplicates: l.duplicates, Failed: l.failed}
	if l.first != 0 {
		s.FirstID = event.ID{Epoch: epoch, Seq: l.first}.String()
		s.LastID = event.ID{Epoch: epoch, Seq: l.last}.String()
	}
	return s
}
