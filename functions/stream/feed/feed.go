package feed

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Feed is the process's view of the log. Make one with New, then call Run.
type Feed struct {
	cfg     Config
	log     *log
	ring    *ring
	topics  *Topics // what this instance serves
	shards  []*shard
	slots   chan struct{} // one for each replay chunk under way
	parked  chan struct{} // one for each replay consumer kept from chunk to chunk
	turns   chan struct{} // one for each client that catches up from the ring at this moment
	metrics *metrics
	loaded  chan struct{} // closed when the ring is loaded
	pumps   sync.WaitGroup

	mu        sync.Mutex
	subs      map[*Subscription]struct{}
	turn      int    // of the shards
	closed    bool   // Run is over: no more subscriptions
	target    uint64 // sequence at which the ring is loaded
	reading   bool
	failure   error
	wasLoaded atomic.Bool
}

// ErrClosed is what subscriptions end with when the feed stops.
var ErrClosed = errors.New("the feed is closed")

// New checks the configuration; it does not ask NATS for anything.
func New(cfg Config) (*Feed, error) {
	cfg.setDefaults()
	topics, err := NewTopics(cfg.Filter...)
	if err != nil {
		return nil, err
	}
	l, err := newLog(&cfg)
	if err != nil {
		return nil, err
	}
	f := &Feed{
		cfg:    cfg,
		log:    l,
		ring:   newRing(cfg.RingEvents, cfg.RingBytes),
		topics: topics,
		slots:  make(chan struct{}, cfg.ReplayConcurrency),
		parked: make(chan struct{}, cfg.ReplayConcurrency),
		turns:  make(chan struct{}, cfg.Shards),
		loaded: make(chan struct{}),
		subs:   map[*Subscription]struct{}{},
	}
	f.metrics = newMetrics(f, cfg.Registry)
	if f.cfg.Clients == nil {
		f.cfg.Clients = f.Count
	}
	for range cfg.Shards {
		f.shards = append(f.shards, newShard(f))
	}
	return f, nil
}

// Run reads the log and serves the subscriptions until ctx ends; then it ends
// those that are left with ErrClosed, and returns after all its goroutines. It
// lives through every failure of NATS.
func (f *Feed) Run(ctx context.Context) error {
	var reading, serving sync.WaitGroup
	r := &reader{feed: f, subjects: f.topics.subjects()}
	reading.Go(func() { r.run(ctx) })
	stop := make(chan struct{})
	for _, s := range f.shards {
		serving.Go(func() { s.run(stop) })
	}
	<-ctx.Done()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, s := range f.subscriptions() {
		s.end(ErrClosed)
	}
	reading.Wait()
	close(stop)
	serving.Wait()
	f.pumps.Wait()
	return context.Cause(ctx)
}

// drainGap is the longest pause between two clients that are sent away.
const drainGap = 20 * time.Millisecond

// Drain tells every client that the instance goes away and ends its response,
// one after the other over that time at most, each with a reconnection time of
// its own between 1 and 5 s. It returns when all have ended or ctx has.
func (f *Feed) Drain(ctx context.Context, over time.Duration) {
	subs := f.subscriptions()
	over = min(over, drainGap*time.Duration(len(subs)))
	start := time.Now()
	for i, s := range subs {
		due := start.Add(over * time.Duration(i) / time.Duration(len(subs)))
		if wait := time.Until(due); wait > 5*time.Millisecond {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		s.Drain(sse.ReasonShutdown)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for f.Count() > 0 && ctx.Err() == nil {
		for _, s := range f.subscriptions() { // also those that came meanwhile
			s.Drain(sse.ReasonShutdown)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// drainRetry is a client's reconnection time after a drain, so that not all
// come back at once.
func drainRetry() time.Duration {
	return time.Second + rand.N(4*time.Second).Truncate(time.Millisecond)
}

// Loaded is closed when the ring holds the newest events for the first time.
func (f *Feed) Loaded() <-chan struct{} { return f.loaded }

// Serves reports whether this instance's filter covers the topics.
func (f *Feed) Serves(t *Topics) bool { return f.topics.covers(t) }

// Topics is what this instance serves.
func (f *Feed) Topics() *Topics { return f.topics }

// Position is the position up to which the feed has scanned the log.
func (f *Feed) Position() event.ID {
	_, pos := f.ring.tail()
	return pos
}

// Count is the number of open subscriptions.
func (f *Feed) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subs)
}

// Status is what the feed knows of itself and of the stream.
type Status struct {
	Reading  bool   // the reader has a consumer
	Loaded   bool   // the ring has been loaded once
	Err      string // why the reader does not read
	Position event.ID
	FirstSeq uint64 // of the stream, at most a few seconds old
	LastSeq  uint64
	Lag      uint64 // events the feed is behind
}

// Status never asks NATS and never blocks.
func (f *Feed) Status() Status {
	s := Status{Position: f.Position(), Loaded: f.wasLoaded.Load()}
	last := f.log.known()
	s.FirstSeq, s.LastSeq = last.firstSeq, last.lastSeq
	if last.epoch == s.Position.Epoch {
		s.LastSeq = max(s.LastSeq, s.Position.Seq)
		s.Lag = s.LastSeq - s.Position.Seq
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Reading = f.reading
	if f.failure != nil {
		s.Err = f.failure.Error()
	}
	return s
}

func (f *Feed) setReading(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading, f.failure = err == nil, err
}

// loadedAt takes note of the sequence at which the ring is loaded, if it is
// not 0, and of whether it is.
func (f *Feed) loadedAt(target uint64) {
	if f.wasLoaded.Load() {
		return
	}
	pos := f.Position()
	f.mu.Lock()
	defer f.mu.Unlock()
	if target > 0 {
		f.target = target
	}
	if pos.Seq >= f.target && f.wasLoaded.CompareAndSwap(false, true) {
		close(f.loaded)
	}
}

func (f *Feed) wake() {
	for _, s := range f.shards {
		s.wake()
	}
}

func (f *Feed) subscriptions() []*Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	subs := make([]*Subscription, 0, len(f.subs))
	for s := range f.subs {
		subs = append(subs, s)
	}
	return slices.Clip(subs)
}

// admit makes s one of the feed's, and gives it a shard.
func (f *Feed) admit(s *Subscription) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	f.subs[s] = struct{}{}
	s.shard = f.shards[f.turn%len(f.shards)]
	f.turn++
	return nil
}

// spawn runs pump on a goroutine of its own, unless Run is over.
func (f *Feed) spawn(pump func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.pumps.Go(pump)
	return true
}

func (f *Feed) dismiss(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subs, s)
}
