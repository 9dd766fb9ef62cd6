package health

import (
	"context"
	"sync"
	"time"
)

// demand calls refresh while somebody wants what it brings: at least a pause
// after the last call, and no longer than keep after somebody last asked.
type demand struct {
	refresh func(context.Context) // bounds itself in time
	pause   func() time.Duration
	keep    time.Duration

	wake chan struct{} // of one: an ask that run has not seen

	mu        sync.Mutex
	asked     time.Time     // when somebody last asked
	refreshed time.Time     // when the last refresh ended
	next      chan struct{} // closed when the next refresh ends
}

func newDemand(refresh func(context.Context), pause func() time.Duration, keep time.Duration) *demand {
	return &demand{
		refresh: refresh, pause: pause, keep: keep,
		wake: make(chan struct{}, 1),
		next: make(chan struct{}),
	}
}

// run refreshes on demand until ctx ends.
func (d *demand) run(ctx context.Context) {
	for {
		select {
		case <-d.wake:
		case <-ctx.Done():
			return
		}
		for d.wanted() && ctx.Err() == nil {
			d.refresh(ctx)
			d.ended()
			select {
			case <-time.After(d.pause()):
			case <-ctx.Done():
			}
		}
	}
}

func (d *demand) wanted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.asked) <= d.keep
}

// ended notes the end of a refresh and releases those who wait for it.
func (d *demand) ended() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshed = time.Now()
	close(d.next)
	d.next = make(chan struct{})
}

// ask says that the result is wanted, and does not wait for it.
func (d *demand) ask() {
	d.mu.Lock()
	d.asked = time.Now()
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // run has not seen the last one yet
	}
}

// wait asks. Where the last refresh is older than a pause and a limit, it waits
// for the next one to end, but no longer than limit and ctx allow.
func (d *demand) wait(ctx context.Context, limit time.Duration) {
	d.mu.Lock()
	old, next := time.Since(d.refreshed) > d.pause()+limit, d.next
	d.mu.Unlock()
	d.ask()
	if !old {
		return
	}
	select {
	case <-next:
	case <-time.After(limit):
	case <-ctx.Done():
	}
}
