// Package health answers who asks how this process and its fleet are: /,
// /health, /livez and /readyz.
//
// It knows its own process by a function (Config.Local), the other instances
// by asking them over NATS, and the producers by their records in a KV bucket.
// Handlers answer with what is known: they wait at most answerWithin for the
// fleet, and never for a NATS that is down. Run owns all goroutines and the
// fleet's service; it returns when they have ended. Run does not need NATS to
// be there, it keeps trying.
package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

const (
	// DefaultReadyLag is READY_LAG: how many events the feed may be behind.
	DefaultReadyLag = 10_000
	// DefaultHeartbeat is HEARTBEAT_INTERVAL.
	DefaultHeartbeat = 30 * time.Second

	// beatGrace is how much longer than HEARTBEAT_INTERVAL a heartbeat loop may
	// take on a busy machine before it counts as stopped.
	beatGrace = time.Second
	// answerWithin is how long a handler waits for a count that is too old.
	answerWithin = 250 * time.Millisecond
)

// Local is what this process knows of itself at one moment.
type Local struct {
	Clients   int  // open streams of this instance
	Heartbeat bool // clients get heartbeats; LastBeat, when set, decides instead
	// LastBeat is when the heartbeat loop last came round; of several loops,
	// the time of the one that is furthest back. Zero: not told.
	LastBeat time.Time
	NATS     bool   // the connection is up
	Stream   string // the JetStream stream's name
	Present  bool   // the JetStream stream exists and the feed reads it
	Loaded   bool   // the ring is loaded
	FirstSeq uint64 // of the JetStream stream at the last check
	LastSeq  uint64
	Position uint64 // sequence up to which the feed has read
	Lag      uint64 // events the feed is behind
	Draining bool   // the process is about to end
}

// Config is what a Health needs to know.
type Config struct {
	// Local tells the state of this process; it must not block. Nil in a
	// process that serves no streams: Health then looks for Stream itself.
	Local func() Local
	// Stream is the JetStream stream to look for when Local is nil,
	// event.DefaultStream when empty.
	Stream string
	// Conn is a connection that reconnects for ever; its closed and error
	// handlers must be set before Run (nats.go/micro hooks itself between).
	Conn *nats.Conn
	JS   jetstream.JetStream
	// ReadyLag is READY_LAG in events, DefaultReadyLag when 0.
	ReadyLag uint64
	// Heartbeat is HEARTBEAT_INTERVAL, DefaultHeartbeat when 0. The fleet is
	// counted on while somebody asks at least once in it, and a heartbeat loop
	// that does not come round in it has stopped.
	Heartbeat time.Duration
	// CreateBucket lets Run create the producers' bucket, with Replicas, when
	// there is none. Without the right to, Run lives with what there is.
	CreateBucket bool
	Replicas     int
	// Instance names this process, Version its program; for people only.
	Instance string
	Version  string
	// Console says that this process serves /console.
	Console bool
	// Log is where changes are told; nil for silence.
	Log *slog.Logger
}

// Health serves the state of a process and its fleet. See New.
type Health struct {
	cfg       Config
	fleet     *fleet
	producers *producers
	alone     *alone // nil when cfg.Local is there
	draining  atomic.Bool
}

// New makes a Health. Its handlers answer at once; they know of others while
// Run runs.
func New(cfg Config) *Health {
	if cfg.ReadyLag == 0 {
		cfg.ReadyLag = DefaultReadyLag
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = DefaultHeartbeat
	}
	if cfg.Stream == "" {
		cfg.Stream = event.DefaultStream
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Health{cfg: cfg, producers: newProducers(cfg)}
	if cfg.Local == nil {
		h.alone = newAlone(cfg)
	}
	h.fleet = newFleet(cfg, h.own)
	return h
}

// Run joins the fleet and keeps the counts and states current until ctx ends,
// which is its usual error. It leaves the connection to its owner.
func (h *Health) Run(ctx context.Context) error {
	leave, err := h.fleet.join()
	if err != nil {
		return fmt.Errorf("join the fleet: %w", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { h.fleet.asks.run(ctx) })
	wg.Go(func() { h.producers.run(ctx) })
	if h.alone != nil {
		wg.Go(func() { h.alone.asks.run(ctx) })
	}
	<-ctx.Done()
	if err := leave(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		h.cfg.Log.Debug("leaving the fleet", "err", err)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Clients is the number of open streams of the whole fleet: of this process
// now, of the others at most about a second ago while NATS is up and somebody
// asks at least once in a heartbeat. What is unknown counts as none. It never
// blocks.
func (h *Health) Clients() int {
	h.fleet.asks.ask()
	return h.own().Clients + h.fleet.known().clients
}

// Drain makes /readyz and /health say from now on that this process is about
// to end.
func (h *Health) Drain() { h.draining.Store(true) }

// own is the state of this process, as far as known without waiting.
func (h *Health) own() Local {
	var l Local
	if h.alone != nil {
		l = h.alone.local()
	} else {
		l = h.cfg.Local()
	}
	l.Draining = l.Draining || h.draining.Load()
	if !l.LastBeat.IsZero() {
		l.Heartbeat = time.Since(l.LastBeat) <= h.cfg.Heartbeat+beatGrace
	}
	return l
}

// current is own after a short wait for what a process without streams has to
// ask NATS for.
func (h *Health) current(ctx context.Context) Local {
	if h.alone != nil {
		h.alone.asks.wait(ctx, answerWithin)
	}
	return h.own()
}
