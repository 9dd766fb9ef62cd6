// Package pace calls a function on an absolute schedule: call n is due n/rate
// seconds after the start, however long the calls before it took. A late call
// is told the time at which it was due, and those that are due together are
// made at once, so that nothing that slows the caller thins out the load or
// hides the delay (no coordinated omission).
package pace

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Clock is time that never jumps, told as Unix nanoseconds: the wall clock
// when it was made plus monotonic time since.
type Clock struct {
	start time.Time
	unix  int64
}

// NewClock makes a clock.
func NewClock() Clock {
	now := time.Now()
	return Clock{start: now, unix: now.UnixNano()}
}

// Now is the time in Unix nanoseconds.
func (c Clock) Now() int64 { return c.unix + int64(time.Since(c.start)) }

// Schedule is when calls are due.
type Schedule struct {
	Start int64   // Unix nanoseconds
	Rate  float64 // calls per second
	Count int     // calls in all
}

// Due is when call n is, n from 0.
func (s Schedule) Due(n int) int64 { return s.Start + int64(float64(n)*(1e9/s.Rate)) }

// Progress is how a schedule was kept. It may be read while Run runs.
type Progress struct {
	mu sync.Mutex
	// overslept is how much later than asked the system woke the caller: the
	// machine's or this program's fault, not that of what is called.
	overslept *hdrhistogram.Histogram
	behind    atomic.Int64
}

// Overslept is the delay at quantile q (0 to 100) and at most, of the waits
// between calls.
func (p *Progress) Overslept(q float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.overslept == nil {
		return 0
	}
	return time.Duration(p.overslept.ValueAtQuantile(q))
}

// Behind is how far the calls lagged behind the schedule at worst, because the
// caller overslept or because calls took long.
func (p *Progress) Behind() time.Duration { return time.Duration(p.behind.Load()) }

// Run makes the calls and returns after the last one, or with the first error.
// It keeps its thread to itself meanwhile.
func (p *Progress) Run(ctx context.Context, clock Clock, s Schedule, call func(n int, due int64) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.mu.Lock()
	p.behind.Store(0)
	p.overslept = hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)
	p.mu.Unlock()
	for n := 0; n < s.Count; {
		if err := sleepUntil(ctx, clock, s.Due(n)); err != nil {
			return err
		}
		late := clock.Now() - s.Due(n)
		p.woke(late)
		for ; n < s.Count && late >= 0; n++ {
			if err := call(n, s.Due(n)); err != nil {
				return fmt.Errorf("event %d of %d: %w", n+1, s.Count, err)
			}
			p.behind.Store(max(p.behind.Load(), late))
			late = clock.Now() - s.Due(n+1)
		}
	}
	return nil
}

func (p *Progress) woke(late int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.overslept.RecordValue(max(0, min(late, int64(time.Minute)))) // in range: cannot fail
}

// longestSleep is how soon the end of the context is noticed.
const longestSleep = 50 * time.Millisecond

func sleepUntil(ctx context.Context, clock Clock, due int64) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		left := time.Duration(due - clock.Now())
		if left <= 0 {
			return nil
		}
		sleep(min(left, longestSleep))
	}
}
