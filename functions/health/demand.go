package health

import (
	"context"
	"sync"
	"time"
)

// demand runs refresh while somebody wants what it brings: at most once every
// pause, and for as long as keep after the last time somebody asked.
type demand struct {
	refresh func(context.Context) // bounds itself in time
	pause   func() time.Duration
	keep    time.Duration

	wake chan struct{} // of one: an ask that run has not seen

	mu    sync.Mutex
	asked time.Time
	ended time.Time     // of the last refresh
	round chan struct{} // closed at the end of the next refresh
}

func newDemand(refresh func(context.Context), pause func() time.Duration, keep time.Duration) *demand {
	return &demand{
		refresh: refresh, pause: pause, keep: keep,
		wake:  make(chan struct{}, 1),
		round: make(chan struct{}),
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
			d.end()
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

func (d *demand) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = time.Now()
	close(d.round)
	d.round = make(chan struct{})
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

// wait asks, and waits until the last refresh is no older than a pause and a
// bit, at most as long as ctx and most allow.
func (d *demand) wait(ctx context.Context, most time.Duration) {
	d.mu.Lock()
	old, round := time.Since(d.ended) > d.pause()+most, d.round
	d.mu.Unlock()
	d.ask()
	if !old {
		return
	}
	select {
	case <-round:
	case <-time.After(most):
	case <-ctx.Done():
	}
}
