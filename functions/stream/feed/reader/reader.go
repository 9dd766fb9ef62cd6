package reader

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const (
	// batch bounds for how many messages the wake-up of the clients is put off.
	batch = 256
	// A restart waits, from firstPause on up to maxPause; one that has lasted
	// for steadyAfter begins anew with that.
	firstPause  = 100 * time.Millisecond
	maxPause    = 500 * time.Millisecond
	steadyAfter = 10 * time.Second
	// connectPoll is how often a reader without NATS looks whether it is there.
	connectPoll = 50 * time.Millisecond
)

// Config is what a Reader needs; every field must be set.
type Config struct {
	Log        *eventlog.Log
	Ring       *ring.Ring
	RingEvents int // how many of the newest events are loaded at the start
	Wire       wire.Wire
	Subjects   []string // what is read; they must not overlap
	Moved      func()   // called when the ring has moved; it must not block
	Metrics    *metrics.Metrics
	Logger     *slog.Logger
}

// Reader is the one consumer of a feed. Status and Loaded are safe for
// concurrent use.
type Reader struct {
	cfg      Config
	timing   timing
	started  bool      // the ring has begun
	short    time.Time // since when the log ends before our position; zero when it does not
	heard    time.Time // when the consumer gave a sign of life
	evidence evidence
	last     eventlog.Stored // of the last event that was read
	doubt    bool            // the next consumer must be at the log's leader
	said     string          // why it restarted last, as logged; "" since it reads
	strays   strays
	loaded   chan struct{} // closed when the ring is loaded

	mu     sync.Mutex
	status Status
	target uint64 // sequence at which the ring is loaded
}

// Status is what a reader knows of itself.
type Status struct {
	Reading bool  // it has a consumer
	Loaded  bool  // the ring has been loaded once
	Err     error // why it does not read
}

// New makes a reader; Run reads.
func New(cfg Config) *Reader {
	return &Reader{cfg: cfg, timing: usual, strays: newStrays(cfg.Logger), loaded: make(chan struct{})}
}

// Loaded is closed when the ring holds the newest events for the first time.
func (r *Reader) Loaded() <-chan struct{} { return r.loaded }

// Status never asks NATS and never blocks.
func (r *Reader) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Run reads until ctx ends. It lives through every failure of NATS.
func (r *Reader) Run(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = firstPause, maxPause
	for r.connected(ctx) {
		began := time.Now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		r.cfg.Metrics.Restarts.Inc()
		r.failed(ctx, err)
		r.doubt = errors.Is(err, errDoubt)
		if time.Since(began) > steadyAfter {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		r.cfg.Logger.Log(ctx, r.level(err), "the feed restarts its reader", "err", err, "position", r.cfg.Ring.Position().String(), "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// connected waits until NATS is there; false is the end of ctx.
func (r *Reader) connected(ctx context.Context) bool {
	if ctx.Err() == nil && r.cfg.Log.Connected() {
		return true
	}
	r.reading(eventlog.ErrDisconnected)
	r.cfg.Logger.Warn("the feed waits for NATS", "position", r.cfg.Ring.Position().String())
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if r.cfg.Log.Connected() {
				return true
			}
		}
	}
}

// level is that of a reason not to read: one that repeats itself is not told
// again, and one that passes at once is no warning.
func (r *Reader) level(err error) slog.Level {
	if errors.Is(err, errDoubt) {
		return slog.LevelInfo
	}
	if said := err.Error(); said != r.said {
		r.said = said
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// failed notes why the reader does not read, and leaves a NATS server that
// knows nothing of the log.
func (r *Reader) failed(ctx context.Context, err error) {
	r.reading(err)
	if left, ok := r.cfg.Log.MoveOn(); ok {
		r.cfg.Logger.Log(ctx, slog.LevelWarn, "the feed leaves its NATS server for another one", "server", left, "err", err)
	}
}

// follow is one consumer, from the check of the log before and after it is made
// to its failure.
func (r *Reader) follow(ctx context.Context) error {
	now, err := r.cfg.Log.Ask(ctx)
	if err != nil {
		return err
	}
	if err := r.settle(now); err != nil {
		return err
	}
	from := r.cfg.Ring.Position()
	at := ""
	if r.doubt {
		at = now.Leader
	}
	tail, err := r.cfg.Log.Follow(ctx, "feed", r.cfg.Subjects, from, r.timing.beat, at)
	if err != nil {
		return err
	}
	defer tail.Close()
	// The consumer is of the log that was there when it was made.
	if now, err = r.cfg.Log.Ask(ctx); err != nil {
		return err
	}
	if now.Epoch != from.Epoch {
		return errRecreated
	}
	r.evidence, r.heard = evidence{}, time.Now()
	r.reading(nil)
	r.load(now.LastSeq)
	r.said = ""
	r.cfg.Logger.Info("the feed reads", "stream", r.cfg.Log.Stream(), "from", from.String(), "last_seq", now.LastSeq)
	return r.read(ctx, tail)
}

// settle brings the ring in line with the log before reading goes on.
func (r *Reader) settle(now eventlog.State) error {
	if !r.started {
		r.started = true
		r.cfg.Ring.Begin(start(now, r.cfg.RingEvents))
		return nil
	}
	pos := r.cfg.Ring.Position()
	if now.Epoch != pos.Epoch || now.LastSeq >= pos.Seq {
		r.short = time.Time{}
	} else if r.short.IsZero() {
		r.short = time.Now()
	}
	c, err := r.timing.settle(now, pos, time.Since(r.short))
	if err != nil {
		return err
	}
	r.short = time.Time{}
	if c.reason != "" {
		r.gap(c, pos)
	}
	return nil
}

// gap tells all clients that what is between pos and c.at is lost.
func (r *Reader) gap(c course, pos event.ID) {
	frame := wire.NewGap(r.cfg.Wire, c.reason, pos, c.at)
	r.cfg.Metrics.Gap(c.reason)
	r.cfg.Logger.Warn("the log has a gap", "reason", c.reason, "position", pos.String(), "on_after", c.at.String())
	if c.section {
		r.cfg.Ring.Restart(frame)
	} else {
		r.cfg.Ring.Append(frame)
	}
	r.cfg.Moved()
}

// reading notes whether the reader reads, and if not why.
func (r *Reader) reading(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Reading, r.status.Err = err == nil, err
}

// load notes the sequence at which the ring is loaded, if it is not 0, and
// whether it is.
func (r *Reader) load(target uint64) {
	pos := r.cfg.Ring.Position()
	r.mu.Lock()
	defer r.mu.Unlock()
	if target > 0 {
		r.target = target
	}
	if !r.status.Loaded && pos.Seq >= r.target {
		r.status.Loaded = true
		close(r.loaded)
	}
}

// read handles what the consumer sends until something is wrong.
func (r *Reader) read(ctx context.Context, tail *eventlog.Tail) error {
	ticks := time.NewTicker(r.timing.watchEvery)
	defer ticks.Stop()
	progress := progress{pos: r.cfg.Ring.Position(), at: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-tail.C():
			if err := r.take(ctx, tail, m); err != nil {
				return err
			}
		case <-ticks.C:
			if !r.cfg.Log.Connected() {
				return eventlog.ErrDisconnected
			}
			if err := r.timing.silent(time.Since(r.heard)); err != nil && tail.Waiting() == 0 {
				return err
			}
			if err := r.watch(ctx, &progress); err != nil {
				return err
			}
		}
	}
}

// watch compares the position with the log. While nobody with a quorum answers
// that says nothing: the consumer may go on, and the reader says so.
func (r *Reader) watch(ctx context.Context, p *progress) error {
	now, err := r.cfg.Log.Ask(ctx)
	if eventlog.Unanswered(err) && ctx.Err() == nil {
		r.failed(ctx, err)
		r.cfg.Logger.Log(ctx, r.level(err), "the feed does not know how far the log is", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	r.reading(nil)
	r.said = ""
	pos := r.cfg.Ring.Position()
	return r.timing.watch(now, pos, p.stillFor(now, pos, time.Now()))
}
