package fanout

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// Config is what a Fanout needs; every field must be set.
type Config struct {
	Limits
	Ring *ring.Ring
	Wire wire.Wire // that renders the ring's frames
	// Replay begins a client's way through the log; it asks nobody.
	Replay func(*topics.Set) Replay
	// EndsBefore asks whether the log is known to end before a position.
	EndsBefore func(ctx context.Context, pos event.ID) bool
	// Pay waits for what looking through the ring in vain costs, for so long.
	// It returns early when ctx ends.
	Pay func(ctx context.Context, vain time.Duration) error

	HeartbeatInterval time.Duration
	// Clients is the number that heartbeats tell; it must not block.
	Clients func() int
	Shards  int
	Metrics *metrics.Metrics
}

// Fanout is the clients of a process. It is safe for concurrent use.
type Fanout struct {
	cfg     Config
	ring    *ring.Ring
	shards  []*shard
	readers chan struct{} // one for each client that reads the ring at this moment
	pumps   sync.WaitGroup

	mu       sync.Mutex
	clients  map[*Subscription]struct{}
	admitted int  // clients so far: the shards get them one after the other
	closed   bool // Run is over: no more clients
}

// New makes a Fanout; Run serves it.
func New(cfg Config) *Fanout {
	f := &Fanout{
		cfg: cfg, ring: cfg.Ring,
		readers: make(chan struct{}, cfg.Shards),
		clients: map[*Subscription]struct{}{},
	}
	for range cfg.Shards {
		f.shards = append(f.shards, newShard(f))
	}
	return f
}

// Run serves the clients until ctx ends; then it ends those that are left with
// ErrClosed, and returns after all goroutines of the fan-out have.
func (f *Fanout) Run(ctx context.Context) {
	var serving sync.WaitGroup
	stop := make(chan struct{})
	for _, s := range f.shards {
		serving.Go(func() { s.run(stop) })
	}
	<-ctx.Done()
	f.close()
	close(stop)
	serving.Wait()
	f.pumps.Wait()
}

func (f *Fanout) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, s := range f.Subscriptions() {
		s.Cut(ErrClosed)
	}
}

// Wake tells the shards that the ring has moved. It does not block.
func (f *Fanout) Wake() {
	for _, s := range f.shards {
		s.wake()
	}
}

// Subscribe admits a client of the topics. The caller then calls Open and Serve
// or Go, or else Abandon. After the end of Run it gives ErrClosed.
func (f *Fanout) Subscribe(t *topics.Set, w wire.Wire) (*Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	s := &Subscription{fan: f, shard: f.shards[f.admitted%len(f.shards)], view: view{t, w}}
	s.life.phase.Store(uint32(Opening))
	f.admitted++
	f.clients[s] = struct{}{}
	return s, nil
}

// Count is the number of clients.
func (f *Fanout) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients)
}

// Subscriptions are the clients at this moment, in no order.
func (f *Fanout) Subscriptions() []*Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	subs := make([]*Subscription, 0, len(f.clients))
	for s := range f.clients {
		subs = append(subs, s)
	}
	return subs
}

// LastBeat is when the shard that is lagging most last gave heartbeats to those
// whose turn it was, if any, or began; zero while one has not begun.
func (f *Fanout) LastBeat() time.Time {
	oldest := f.shards[0].beaten.Load()
	for _, s := range f.shards[1:] {
		oldest = min(oldest, s.beaten.Load())
	}
	if oldest == 0 {
		return time.Time{}
	}
	return time.Unix(0, oldest)
}

// spawn runs pump on a goroutine of its own, unless Run is over.
func (f *Fanout) spawn(pump func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.pumps.Go(pump)
	return true
}

func (f *Fanout) dismiss(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients, s)
}

// byeRetry is a client's reconnection time after its last block, so that not
// all come back at once.
func byeRetry() time.Duration {
	return time.Second + rand.N(4*time.Second).Truncate(time.Millisecond)
}
