package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Config is what a Fleet is made of.
type Config struct {
	Server netip.AddrPort
	// Clients is how many connections read. Topic is what each subscribes
	// to, Path what it requests from the server for that.
	Clients int
	Topic   func(client int) int
	Path    func(topic int) string
	// Stuck is how many more connect, subscribe to topic 0 and never read.
	Stuck int
	// ConnectRate is in connections per second.
	ConnectRate float64
	// IDs says that events carry Sluice's ids, which are checked then.
	IDs bool
	// Newest is the number of the newest event published to a topic, 0 for none.
	// It is called in the loop and must not block.
	Newest func(topic int) uint32
	// Now is the clock that stamps are made with, in Unix nanoseconds.
	Now func() int64
}

// Counts is the state of a fleet at one moment.
type Counts struct {
	At         int64 // Config.Now
	Deliveries uint64
	Bytes      uint64        // of response bodies
	CPU        time.Duration // what the fleet itself has used

	Open     int // clients whose response has begun, also those cut since
	Refused  int // answered with something else than an event stream
	Failed   int // connections that could not be made
	Cut      int // closed by the server after the response had begun
	StuckCut int // stuck clients closed by the server
	// FirstError is why the first of the refused, failed or cut was.
	FirstError error

	Missing uint64 // events published and not (yet) received
	Again   uint64 // events received twice or out of order
	BadIDs  uint64 // events without an id, or whose id did not rise
}

// Add adds the counts of another fleet, whose At is kept.
func (c *Counts) Add(o Counts) {
	c.At = o.At
	c.Deliveries += o.Deliveries
	c.Bytes += o.Bytes
	c.CPU += o.CPU
	c.Open += o.Open
	c.Refused += o.Refused
	c.Failed += o.Failed
	c.Cut += o.Cut
	c.StuckCut += o.StuckCut
	c.Missing += o.Missing
	c.Again += o.Again
	c.BadIDs += o.BadIDs
	if c.FirstError == nil {
		c.FirstError = o.FirstError
	}
}

// errEnd is what calls give once Run has returned.
var errEnd = errors.New("the fleet has ended")

// Fleet is a set of clients. Make one with New, and Run it.
type Fleet struct {
	cfg  Config
	loop *loop
}

// New makes a fleet that has not connected yet. Where the system has no epoll
// it returns an error.
func New(cfg Config) (*Fleet, error) {
	l, err := newLoop(cfg)
	if err != nil {
		return nil, err
	}
	return &Fleet{cfg: cfg, loop: l}, nil
}

// Run serves the clients until ctx ends and then closes them all. It must be
// called once; its error is that of the system.
func (f *Fleet) Run(ctx context.Context) error { return f.loop.run(ctx) }

// Connect opens all clients at Config.ConnectRate and waits until each has a
// response or none can be had. Its error names the first failure.
func (f *Fleet) Connect(ctx context.Context) error {
	if err := f.do(ctx, func(l *loop) { l.connectAll() }); err != nil {
		return err
	}
	for {
		c, err := f.Counts(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d clients are connected: %w", c.Open, f.cfg.Clients, err)
		}
		if c.Open+c.Failed+c.Refused >= f.cfg.Clients+f.cfg.Stuck {
			return c.FirstError
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d clients are connected: %w", c.Open, f.cfg.Clients, err)
		}
	}
}

// Measure sets the window [from, to) of Latency, in Unix nanoseconds. An event
// is in it by its scheduled time, the fleet's own lag by when it was.
func (f *Fleet) Measure(ctx context.Context, from, to int64) error {
	return f.do(ctx, func(l *loop) { l.tally.from, l.tally.to = from, to })
}

// Counts is the state now.
func (f *Fleet) Counts(ctx context.Context) (c Counts, err error) {
	err = f.do(ctx, func(l *loop) { c = l.counts(); c.CPU = l.cpu() })
	return c, err
}

// Settle waits until nothing that was published is missing, or for the time of
// grace, and returns the state then. Clients that are not connected any more
// are not waited for.
func (f *Fleet) Settle(ctx context.Context, grace time.Duration) (Counts, error) {
	for until := time.Now().Add(grace); ; {
		var lagging int
		var c Counts
		err := f.do(ctx, func(l *loop) { c, lagging = l.counts(), l.lagging() })
		if err != nil || lagging == 0 || !time.Now().Before(until) {
			return c, err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return c, err
		}
	}
}

// Latency is that of the events of the window. Lag is how late the loop itself
// was to read and to connect: latencies of that order are the loop's own.
func (f *Fleet) Latency(ctx context.Context) (latency, lag *hdrhistogram.Histogram, err error) {
	err = f.do(ctx, func(l *loop) {
		latency = hdrhistogram.Import(l.tally.latency.Export())
		lag = hdrhistogram.Import(l.lag.Export())
	})
	return latency, lag, err
}

// Storm is how a reconnect storm went.
type Storm struct {
	// Reconnected is the time from the closing of all connections until the
	// last client had a response again, CaughtUp until every client had all
	// that was published by then. Zero: never within the time given.
	Reconnected, CaughtUp time.Duration
	// Each is the time from a client's connect until it had what was
	// published when it connected.
	Each *hdrhistogram.Histogram
}

// Storm closes all clients at once and connects them again, evenly over
// spread. Each then lags by behind events: its cursor is that many before the
// last event it had. Storm waits until all have caught up, at most for limit.
// All clients must be on one topic, the only one in the log.
func (f *Fleet) Storm(ctx context.Context, spread time.Duration, behind uint32, limit time.Duration) (s Storm, err error) {
	began := time.Now()
	var refused error
	if err := f.do(ctx, func(l *loop) { refused = l.storm(spread, behind) }); err != nil || refused != nil {
		return s, errors.Join(err, refused)
	}
	var goal uint32
	for time.Since(began) < limit && s.CaughtUp == 0 {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return s, err
		}
		err := f.do(ctx, func(l *loop) {
			if goal == 0 && l.reconnected() {
				s.Reconnected = time.Since(began)
				goal = f.cfg.Newest(0)
			}
			if goal != 0 && l.allHave(goal) {
				s.CaughtUp = time.Since(began)
			}
		})
		if err != nil {
			return s, err
		}
	}
	return s, f.do(ctx, func(l *loop) { s.Each = hdrhistogram.Import(l.tally.recovery.Export()) })
}

// do runs fn in the loop and waits for it.
func (f *Fleet) do(ctx context.Context, fn func(*loop)) error {
	done := make(chan struct{})
	select {
	case f.loop.calls <- func() { fn(f.loop); close(done) }:
	case <-f.loop.ended:
		return errEnd
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-f.loop.ended:
		return errEnd
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
