// Package turns bounds the part of the processors that work may take which one
// client can make and which gives it nothing, such as looking through the log for
// topics that are not there. Whoever has done a piece of it pays with a pause,
// and the pauses of all who pay come one after the other: so however many they
// are, all together work for 1/Pause of the time of one processor, and who comes
// last waits for those before it, not for their whole work.
//
// Pay blocks; it holds no lock meanwhile.
package turns

import (
	"context"
	"sync"
	"time"
)

const (
	// Pause is how often the time of a piece of work its pause lasts.
	Pause = 4
	// least is the shortest pause that is worth a timer; shorter ones add up.
	least = time.Millisecond
)

// Turns are those of a process. The zero value is ready; it is safe for
// concurrent use.
type Turns struct {
	mu    sync.Mutex
	paid  time.Time     // up to when the pauses last that are paid already
	total time.Duration // of all work
}

// Total is the time of all work that was paid for.
func (t *Turns) Total() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// Pay waits for the pause that work of that time costs, behind the pauses of
// those who pay already. An error is the end of ctx.
func (t *Turns) Pay(ctx context.Context, work time.Duration) error {
	wait := time.Until(t.Add(work))
	if wait < least {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Add notes a piece of work, and returns until when its pause lasts, for those who
// wait for something else meanwhile too.
func (t *Turns) Add(work time.Duration) (until time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paid.Before(now) {
		t.paid = now
	}
	t.paid = t.paid.Add(Pause * work)
	t.total += work
	return t.paid
}
