package source

import (
	"context"
	"io"
	"time"

	"sluice/publisher"
)

// Limit ends src after count events and after d; 0 is no limit of its kind.
// What src reports as invalid counts. The time runs from the first call of
// Next.
func Limit(src publisher.Source, count uint64, d time.Duration) publisher.Source {
	return &limited{src: src, count: count, duration: d}
}

type limited struct {
	src      publisher.Source
	count    uint64
	duration time.Duration
	given    uint64
	end      time.Time
}

func (l *limited) Next(ctx context.Context) (publisher.Event, error) {
	if l.count > 0 && l.given >= l.count {
		return publisher.Event{}, io.EOF
	}
	l.given++
	if l.duration == 0 {
		return l.src.Next(ctx)
	}
	if l.end.IsZero() {
		l.end = time.Now().Add(l.duration)
	}
	within, cancel := context.WithDeadline(ctx, l.end)
	defer cancel()
	if within.Err() != nil && ctx.Err() == nil {
		return publisher.Event{}, io.EOF
	}
	e, err := l.src.Next(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = io.EOF
	}
	return e, err
}

// Pace gives src's events at perSecond on a schedule that is fixed by the
// first one: an event that comes late does not delay the next. 0 is no pace.
func Pace(src publisher.Source, perSecond float64) publisher.Source {
	if perSecond == 0 {
		return src
	}
	return &paced{src: src, interval: float64(time.Second) / perSecond}
}

type paced struct {
	src      publisher.Source
	interval float64 // nanoseconds
	start    time.Time
	given    float64
}

func (p *paced) Next(ctx context.Context) (publisher.Event, error) {
	if p.start.IsZero() {
		p.start = time.Now()
	}
	due := p.start.Add(time.Duration(p.given * p.interval))
	p.given++
	if err := sleepUntil(ctx, due); err != nil {
		return publisher.Event{}, err
	}
	return p.src.Next(ctx)
}

func sleepUntil(ctx context.Context, due time.Time) error {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
