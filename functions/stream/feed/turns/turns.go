// Package turns bounds the part of the processors that work may take which one
// client can make and which gives it nothing, such as looking through the log for
// topics that are not there. Whoever has done a piece of it pays with a pause,
// and the pauses of all who pay come one after the other: so however many they
// are, all together work for a quarter of the time of the processors, and who
// comes last waits for those before it, not for their whole work.
//
// Pay and Rest block; they hold no lock meanwhile.
package turns

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	// share is what part of the processors all together may take: a quarter.
	share = 4
	// least is the shortest pause that is worth a timer; shorter ones add up.
	least = time.Millisecond
	// most is for how much one piece counts: what takes longer has waited, for
	// NATS in an election or for a busy machine, and that is nobody's debt.
	most = 200 * time.Millisecond
)

// Pause is how long the pause for a piece of work lasts.
func Pause(work time.Duration) time.Duration {
	return share * work / time.Duration(runtime.GOMAXPROCS(0))
}

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

// Count counts work that is paid for in another way than by Pay.
func (t *Turns) Count(work time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += work
}

// Pay waits for the pause that work of that time costs, behind the pauses of
// those who pay already. An error is the end of ctx: who leaves before it has paid
// owes nothing, else clients that come and go would have those who stay wait for
// all their pauses.
func (t *Turns) Pay(ctx context.Context, work time.Duration) error {
	pause, until := t.owe(work)
	wait := time.Until(until)
	if wait < least {
		return context.Cause(ctx)
	}
	err := Rest(ctx, wait)
	if err != nil {
		t.forgive(pause, until)
	}
	return err
}

// Rest lets d pass; one that is not above 0 is over at once. An error is the end
// of ctx.
func Rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// owe notes a piece of work: how long its pause is, and when it is over.
func (t *Turns) owe(work time.Duration) (pause time.Duration, until time.Time) {
	work = min(work, most)
	pause = Pause(work)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paid.Before(now) {
		t.paid = now
	}
	t.paid = t.paid.Add(pause)
	t.total += work
	return pause, t.paid
}

// forgive takes back what is left of a pause.
func (t *Turns) forgive(pause time.Duration, until time.Time) {
	if left := min(pause, time.Until(until)); left > 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.paid = t.paid.Add(-left)
	}
}
