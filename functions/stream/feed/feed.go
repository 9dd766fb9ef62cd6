package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/reader"
	"sluice/functions/stream/feed/replay"
	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/turns"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// Feed is the process's view of the log. Make one with New, then call Run. It is
// safe for concurrent use.
type Feed struct {
	cfg     Config
	topics  *topics.Set // what this instance serves
	log     *eventlog.Log
	ring    *ring.Ring
	reader  *reader.Reader
	replays *replay.Replays
	fanout  *fanout.Fanout
	turns   *turns.Turns // for work that gives its client nothing
	times   *times
	metrics *metrics.Metrics
}

// New checks the configuration; it does not ask NATS for anything.
func New(cfg Config) (*Feed, error) {
	cfg.setDefaults()
	if cfg.Conn == nil || cfg.Wire == nil {
		return nil, errors.New("feed: Conn and Wire must be set")
	}
	served, err := topics.New(cfg.Filter...)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.New(cfg.Conn, cfg.APIPrefix, cfg.Stream, cfg.Instance, served.Filters()...)
	if err != nil {
		return nil, err
	}
	f := &Feed{
		cfg: cfg, topics: served, log: log, ring: ring.New(cfg.RingEvents, cfg.RingBytes),
		metrics: metrics.New(cfg.Registry), turns: &turns.Turns{},
	}
	if f.cfg.Clients == nil {
		f.cfg.Clients = f.Count
	}
	f.replays = replay.New(replay.Config{
		Log: log, Wire: cfg.Wire, Concurrency: cfg.ReplayConcurrency, Metrics: f.metrics, Logger: cfg.Logger,
		Turns: f.turns,
	})
	f.fanout = fanout.New(fanout.Config{
		Limits: cfg.Pending, Ring: f.ring, Wire: cfg.Wire,
		Replay:            func(t *topics.Set) fanout.Replay { return f.replays.Open(t) },
		EndsBefore:        f.endsBefore,
		HeartbeatInterval: cfg.HeartbeatInterval, Clients: f.cfg.Clients, Shards: cfg.Shards, Metrics: f.metrics,
		Pay: f.turns.Pay,
	})
	f.reader = reader.New(reader.Config{
		Log: log, Ring: f.ring, RingEvents: cfg.RingEvents, Wire: cfg.Wire, Subjects: served.Subjects(),
		Moved: f.fanout.Wake, Metrics: f.metrics, Logger: cfg.Logger,
	})
	f.times = &times{find: f.find, pay: f.turns.Pay, turn: make(chan struct{}, 1), known: map[instant]event.ID{}}
	f.register()
	return f, nil
}

// register adds what the metrics ask the feed for.
func (f *Feed) register() {
	gauge := func(name, help string, v func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, v)
	}
	f.cfg.Registry.MustRegister(
		gauge("sse_feed_lag_events", "Events of the log that the feed has not read yet.", func() float64 { return float64(f.Status().Lag) }),
		gauge("sse_feed_position", "Sequence up to which the feed has read.", func() float64 { return float64(f.Position().Seq) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sse_fruitless_seconds_total", Help: "Time spent on looking for events that clients asked for and that are not there.",
		}, func() float64 { return f.turns.Total().Seconds() }),
	)
}

// Run reads the log and serves the subscriptions until ctx ends; then it ends
// those that are left with fanout.ErrClosed, and returns after all goroutines of
// the feed. It lives through every failure of NATS.
func (f *Feed) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { f.reader.Run(ctx) })
	f.fanout.Run(ctx)
	tasks.Wait()
	return context.Cause(ctx)
}

// Loaded is closed when the ring holds the newest events for the first time.
func (f *Feed) Loaded() <-chan struct{} { return f.reader.Loaded() }

// Serves reports whether this instance's filter covers the topics.
func (f *Feed) Serves(t *topics.Set) bool { return f.topics.Covers(t) }

// Topics is what this instance serves.
func (f *Feed) Topics() *topics.Set { return f.topics }

// Position is the position up to which the feed has scanned the log.
func (f *Feed) Position() event.ID { return f.ring.Position() }

// Count is the number of open subscriptions.
func (f *Feed) Count() int { return f.fanout.Count() }

// Status is what the feed knows of itself and of the stream.
type Status struct {
	Reading  bool   // the reader has a consumer
	Loaded   bool   // the ring has been loaded once
	Err      string // why the reader does not read
	Position event.ID
	FirstSeq uint64 // of the stream, at most a few seconds old
	LastSeq  uint64
	Lag      uint64 // events that the feed has not read yet
	// LastBeat is when the heartbeats' loop last came round, in the shard that
	// is lagging most; zero before Run. It moves also without a client.
	LastBeat time.Time
}

// Status never asks NATS and never blocks.
func (f *Feed) Status() Status {
	r := f.reader.Status()
	s := Status{Reading: r.Reading, Loaded: r.Loaded, Position: f.Position(), LastBeat: f.fanout.LastBeat()}
	if r.Err != nil {
		s.Err = r.Err.Error()
	}
	last := f.log.Known()
	s.FirstSeq, s.LastSeq = last.FirstSeq, last.LastSeq
	if last.Epoch == s.Position.Epoch {
		s.LastSeq = max(s.LastSeq, s.Position.Seq)
		s.Lag = s.LastSeq - s.Position.Seq
	}
	return s
}

const (
	// drainGap is the longest pause between two clients that are sent away.
	drainGap = 20 * time.Millisecond
	// drainStep is the shortest pause that is worth waiting for.
	drainStep = 5 * time.Millisecond
	// drainPoll is how often Drain looks who is left.
	drainPoll = 10 * time.Millisecond
)

// Drain tells every client that the instance goes away and ends its response,
// one after the other over that time at most, each with a reconnection time of
// its own between 1 and 5 s. It returns when all have ended or ctx has.
func (f *Feed) Drain(ctx context.Context, over time.Duration) {
	subs := f.fanout.Subscriptions()
	over = min(over, drainGap*time.Duration(len(subs)))
	start := time.Now()
	for i, s := range subs {
		due := start.Add(over * time.Duration(i) / time.Duration(len(subs)))
		if wait := time.Until(due); wait > drainStep {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		s.Drain(wire.ReasonShutdown)
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for f.Count() > 0 && ctx.Err() == nil {
		for _, s := range f.fanout.Subscriptions() { // also those that came meanwhile
			s.Drain(wire.ReasonShutdown)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
