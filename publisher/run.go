package publisher

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Source gives the events of a run.
type Source interface {
	// Next blocks until there is an event, at most until ctx ends. io.EOF
	// ends the run well. An error that wraps ErrInvalid concerns one event
	// and the run goes on; any other ends it.
	Next(ctx context.Context) (Event, error)
}

// Run publishes what src gives until src or ctx ends, waits for every
// acknowledgement, and keeps the producer's record meanwhile. The end of ctx
// is a request to stop: what was read is still published, within
// Options.DrainTimeout. The error is nil only when every event was
// acknowledged. A publisher is run once; its caller closes it.
func Run(ctx context.Context, p *Publisher, src Source) (Summary, error) {
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	rec := newRecord(p)
	var wg sync.WaitGroup
	wg.Go(func() { rec.refresh(refreshing) })

	err := p.run(ctx, src)

	stop()
	wg.Wait()
	rec.finish(context.WithoutCancel(ctx), err)
	return p.Summary(), err
}

// errStopped is why events failed that were pending when DrainTimeout ended.
var errStopped = errors.New("the run was stopped and DRAIN_TIMEOUT has passed")

func (p *Publisher) run(ctx context.Context, src Source) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { outlive(ctx, work, p.opts.DrainTimeout); cancel(errStopped) })
	defer wg.Wait()
	defer cancel(nil)

	err := p.pump(ctx, work, src)
	flushed := p.Flush(work)
	if errors.Is(flushed, errStopped) {
		p.end(errStopped)
		p.wg.Wait()
		flushed = p.Flush(context.WithoutCancel(ctx)) // nothing is pending any more
	}
	if errors.Is(flushed, err) {
		return flushed
	}
	return errors.Join(err, flushed)
}

// outlive returns d after ctx has ended, or when work ends.
func outlive(ctx, work context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-work.Done():
		return
	}
	select {
	case <-time.After(d):
	case <-work.Done():
	}
}

// pump reads src until ctx ends, and publishes until work ends.
func (p *Publisher) pump(ctx, work context.Context, src Source) error {
	for ctx.Err() == nil {
		e, err := src.Next(ctx)
		switch {
		case err == nil:
			err = p.Publish(work, e)
		case errors.Is(err, ErrInvalid):
			p.Refuse(err)
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			return err
		}
	}
	return nil
}
