// Package health answers who asks how this process and its fleet are: /,
// /health, /livez and /readyz.
//
// A function (Config.Local) tells it of its own process, the other instances
// answer its questions over NATS, and the producers write records to a KV
// bucket. Handlers answer with what is known: they wait at most answerWithin for
// something newer. Run owns all goroutines and this process's membership of the
// fleet; it returns when they have ended. Run may begin while NATS is down: it
// keeps trying.
package health

import (
	"cmp"
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
	// DefaultReadyLag is READY_LAG unless told otherwise.
	DefaultReadyLag = 10_000

	// beatGrace is how much longer than HEARTBEAT_INTERVAL a heartbeat loop may
	// take on a busy machine before it counts as stopped.
	beatGrace = time.Second
	// answerWithin is how long a handler waits for what it knows to be renewed.
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
	Present  bool   // the JetStream stream exists and the feed, if any, reads it
	Problem  string // why it does not; "" when that is not known
	Loaded   bool   // the ring is loaded
	FirstSeq uint64 // of the JetStream stream when it was last looked up
	LastSeq  uint64 // likewise
	Position uint64 // sequence up to which the feed has read
	Lag      uint64 // events that the feed is behind the stream
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
	// Conn is a connection that reconnects for ever. Its closed and error
	// handlers must be set before Run, which wraps them (nats.go/micro).
	Conn *nats.Conn
	JS   jetstream.JetStream
	// ReadyLag is READY_LAG, the most events that the feed of a ready process
	// is behind; DefaultReadyLag when 0.
	ReadyLag uint64
	// Heartbeat is HEARTBEAT_INTERVAL, event.DefaultHeartbeat when 0. Whoever calls
	// Clients once in it gets a count that is always fresh; a heartbeat loop
	// that does not come round in it has stopped.
	Heartbeat time.Duration
	// CreateBucket lets Run create the producers' bucket, with Replicas, when
	// there is none. If NATS refuses, Run waits for somebody else to create it.
	CreateBucket bool
	Replicas     int
	// Instance names this process and Version its program, for people to read.
	Instance string
	Version  string
	// Console and Publish say that this process serves /console and /publish.
	Console, Publish bool
	// Logger is the logger; nil for silence.
	Logger *slog.Logger
}

// Health serves the state of a process and its fleet. See New.
type Health struct {
	cfg       Config
	fleet     *fleet
	producers *producers
	lookup    *lookup // only where Config.Local is nil
	draining  atomic.Bool
}

// New makes a Health. Its handlers answer from the start, but know nothing of
// other instances and of producers before Run.
func New(cfg Config) *Health {
	cfg.ReadyLag = cmp.Or(cfg.ReadyLag, DefaultReadyLag)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, event.DefaultHeartbeat)
	cfg.Stream = cmp.Or(cfg.Stream, event.DefaultStream)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	h := &Health{cfg: cfg, producers: newProducers(cfg)}
	if cfg.Local == nil {
		h.lookup = newLookup(cfg)
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
	wg.Go(func() { h.fleet.demand.run(ctx) })
	wg.Go(func() { h.producers.run(ctx) })
	if h.lookup != nil {
		wg.Go(func() { h.lookup.demand.run(ctx) })
	}
	<-ctx.Done()
	if err := leave(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		h.cfg.Logger.Debug("leaving the fleet", "err", err)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Clients is the number of open streams of the whole fleet. Those of this
// process are counted at the call. Those of the others come from the last count,
// which is about a second old as long as NATS is up and Clients is called once
// in every heartbeat interval. Instances that have never answered count as none.
// Clients never blocks.
func (h *Health) Clients() int {
	h.fleet.demand.ask()
	return h.own().Clients + h.fleet.known().clients
}

// Drain makes /readyz and /health say from now on that this process is about
// to end.
func (h *Health) Drain() { h.draining.Store(true) }

// own is the state of this process, as far as it is known without waiting.
func (h *Health) own() Local {
	var l Local
	if h.lookup != nil {
		l = h.lookup.local()
	} else {
		l = h.cfg.Local()
	}
	l.Draining = l.Draining || h.draining.Load()
	if !l.LastBeat.IsZero() {
		l.Heartbeat = time.Since(l.LastBeat) <= h.cfg.Heartbeat+beatGrace
	}
	return l
}

// current is own after a short wait for a new look-up, where own comes from one.
func (h *Health) current(ctx context.Context) Local {
	if h.lookup != nil {
		h.lookup.demand.wait(ctx, answerWithin)
	}
	return h.own()
}
