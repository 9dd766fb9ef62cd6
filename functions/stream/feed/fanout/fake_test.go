package fanout

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

var encoder = sse.NewEncoder("EVENTS", 0, 0)

const epoch = 1

func position(seq uint64) event.ID { return event.ID{Epoch: epoch, Seq: seq} }

func set(tb testing.TB, filters ...string) *topics.Set {
	tb.Helper()
	s, err := topics.New(filters...)
	require.NoError(tb, err)
	return s
}

// memory is a log that forgets nothing.
type memory struct {
	mu     sync.Mutex
	frames []wire.Frame
}

func (m *memory) add(f wire.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames = append(m.frames, f)
}

// memoryChunk is how many frames a replay of the memory gives at a time.
const memoryChunk = 256

// replay is a way through the memory.
type replay struct {
	log    *memory
	topics *topics.Set
}

func (r *replay) Next(ctx context.Context, after event.ID) (wire.Chunk, error) {
	if ctx.Err() != nil {
		return wire.Chunk{}, ctx.Err()
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	c := wire.Chunk{UpTo: after}
	for _, f := range r.log.frames {
		if f.ID.Seq > after.Seq && len(c.Frames) < memoryChunk {
			c.UpTo = f.ID
			if r.topics.Match(f.Topic) {
				c.Frames = append(c.Frames, f)
			}
		}
	}
	return c, nil
}

func (r *replay) Close() {}

// stepped is a fan-out whose only shard moves when the test says so, on a ring
// and a log without NATS.
type stepped struct {
	t      testing.TB
	fanout *Fanout
	shard  *shard
	ring   *ring.Ring
	log    *memory
	last   uint64
}

const noLimit = 1 << 30

// newStepped has no limits on what is pending unless change sets some.
func newStepped(tb testing.TB, ringFrames int, change ...func(*Config)) *stepped {
	tb.Helper()
	s := &stepped{t: tb, ring: ring.New(ringFrames, noLimit), log: &memory{}}
	cfg := Config{
		Limits: Limits{Msgs: noLimit, Bytes: noLimit}, Ring: s.ring, Wire: encoder,
		Replay:            func(t *topics.Set) Replay { return &replay{s.log, t} },
		EndsBefore:        func(context.Context, event.ID) bool { return false },
		HeartbeatInterval: time.Hour,
		Clients:           func() int { return s.fanout.Count() },
		Shards:            1,
		Pay:               func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Metrics:           metrics.New(prometheus.NewRegistry()),
	}
	for _, c := range change {
		c(&cfg)
	}
	s.ring.Begin(position(0))
	s.fanout = New(cfg)
	s.shard = s.fanout.shards[0]
	tb.Cleanup(s.stop)
	return s
}

// stop ends all clients.
func (s *stepped) stop() {
	s.fanout.close()
	s.shard.empty()
	s.fanout.pumps.Wait()
}

// publish stores n events; the shard is not told.
func (s *stepped) publish(n, size int) {
	for range n {
		s.add("a", bytes.Repeat([]byte("1"), size))
	}
}

func (s *stepped) add(topic string, data []byte) {
	s.last++
	f, _ := wire.NewFrame(encoder, &wire.Message{ID: position(s.last), Topic: topic, Data: data, Time: time.Now()})
	s.log.add(f)
	s.ring.Append(f)
}

// connect begins a client at a position and returns when it has written all
// that it fetches itself.
func (s *stepped) connect(after uint64) *socket {
	s.t.Helper()
	out, _ := s.client(after)
	return out
}

func (s *stepped) client(after uint64, topics ...string) (*socket, *Subscription) {
	s.t.Helper()
	return s.clientOf(after, set(s.t, topics...))
}

func (s *stepped) clientOf(after uint64, topics *topics.Set) (*socket, *Subscription) {
	s.t.Helper()
	sub, err := s.fanout.Subscribe(topics, encoder)
	require.NoError(s.t, err)
	sub.Open(position(after), wire.Open{Resumed: wire.ResumedComplete})
	before := s.tasks()
	out := &socket{ended: make(chan End, 2)}
	sub.Go(out, nil, func(e End) { out.ended <- e })
	require.Eventually(s.t, func() bool { return s.tasks() > before }, natstest.Patience, time.Millisecond, "it does not join")
	return out, sub
}

func (s *stepped) tasks() int {
	s.shard.inbox.mu.Lock()
	defer s.shard.inbox.mu.Unlock()
	return len(s.shard.inbox.tasks)
}

// want waits for the events after a sequence to have come, and no other ones.
func (s *stepped) want(out *socket, after uint64) {
	s.t.Helper()
	var want []string
	for seq := after + 1; seq <= s.last; seq++ {
		want = append(want, position(seq).String())
	}
	require.Eventually(s.t, func() bool { return len(out.ids()) >= len(want) }, natstest.Patience, time.Millisecond)
	require.Equal(s.t, want, out.ids())
}

// live moves the shard until it serves all clients itself.
func (s *stepped) live() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.shard.flush()
		for _, sub := range s.fanout.Subscriptions() {
			if !sub.life.is(Live) {
				return false
			}
		}
		return true
	}, natstest.Patience, time.Millisecond)
}

// ended waits for the client's end.
func (s *stepped) ended(out *socket) End {
	s.t.Helper()
	select {
	case e := <-out.ended:
		return e
	case <-time.After(natstest.Patience):
		require.Fail(s.t, "the client does not end")
		return End{}
	}
}

// socket is a client whose socket the test opens and closes.
type socket struct {
	mu      sync.Mutex
	written []byte
	shut    chan struct{} // not nil: it takes nothing until that is closed
	slow    time.Duration // that a write takes
	lies    bool          // it says that it takes bytes
	part    int           // above 0: it takes so many bytes of the next write and then nothing
	broken  error         // what a write gives
	closed  bool
	clean   bool // how it was closed
	ended   chan End
}

func (s *socket) TryWrite(p []byte) (int, error) {
	if s.slow > 0 {
		<-time.After(s.slow)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		panic("a write after Close")
	case s.broken != nil:
		return 0, s.broken
	case s.shut != nil:
		return 0, nil
	}
	if n := s.part; n > 0 && n < len(p) {
		p = p[:n]
		s.part, s.shut = 0, make(chan struct{})
	}
	s.written = append(s.written, p...)
	return len(p), nil
}

func (s *socket) Write(p []byte) error {
	for len(p) > 0 {
		if shut := s.shutter(); shut != nil {
			<-shut
		}
		n, err := s.TryWrite(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (s *socket) Takes() bool { return s.lies || s.shutter() == nil }

func (s *socket) Interrupt() { s.open() }

func (s *socket) Close(clean bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		panic("closed twice")
	}
	s.closed, s.clean = true, clean
}

func (s *socket) shutter() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = make(chan struct{})
}

// shutIfOpen has it take nothing more, or only so many bytes before that.
func (s *socket) shutIfOpen(part int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.part = part; s.shut == nil && part == 0 {
		s.shut = make(chan struct{})
	}
}

func (s *socket) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut != nil {
		close(s.shut)
		s.shut = nil
	}
	s.part = 0
}

func (s *socket) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.written)
}

// ids are the event ids that came, in their order.
func (s *socket) ids() []string {
	var ids []string
	for _, block := range bytes.Split([]byte(s.text()), []byte("\n\n")) {
		if head, _, ok := bytes.Cut(block, []byte("\nevent: data\n")); ok {
			ids = append(ids, string(bytes.TrimPrefix(head, []byte("id: "))))
		}
	}
	return ids
}

// block is the beginning of a block.
func block(seq uint64, typ string) string {
	return fmt.Sprintf("id: %s\nevent: %s", position(seq), typ)
}
