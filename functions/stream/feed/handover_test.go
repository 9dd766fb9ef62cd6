package feed

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// socket is a client whose socket the test opens and closes.
type socket struct {
	mu      sync.Mutex
	written []byte
	shut    chan struct{} // not nil: it takes nothing until that is closed
	slow    time.Duration // that a write takes
	lies    bool          // it says that it takes bytes
	ended   chan End
}

func (s *socket) TryWrite(p []byte) (int, error) {
	if s.slow > 0 {
		<-time.After(s.slow)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut != nil {
		return 0, nil
	}
	s.written = append(s.written, p...)
	return len(p), nil
}

func (s *socket) Write(p []byte) error {
	s.mu.Lock()
	shut := s.shut
	s.mu.Unlock()
	if shut != nil {
		<-shut
	}
	_, err := s.TryWrite(p)
	return err
}

func (s *socket) Takes() bool { return s.lies || s.shutter() == nil }
func (s *socket) Interrupt()  { s.open() }
func (s *socket) Close(bool)  {}

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

func (s *socket) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut != nil {
		close(s.shut)
		s.shut = nil
	}
}

// ids are the event ids that came, in their order.
func (s *socket) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, block := range bytes.Split(s.written, []byte("\n\n")) {
		if head, _, ok := bytes.Cut(block, []byte("\nevent: data\n")); ok {
			ids = append(ids, string(bytes.TrimPrefix(head, []byte("id: "))))
		}
	}
	return ids
}

// stepped is a feed whose reader runs and whose only shard moves when the test
// says so.
type stepped struct {
	t     *testing.T
	feed  *Feed
	shard *shard
	js    jetstream.JetStream
	last  uint64
}

func newStepped(t *testing.T, ring int) *stepped {
	ns := natstest.Start(t)
	js := ns.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	f, err := New(Config{Conn: ns.Connect(t), Shards: 1, RingEvents: ring, PendingMsgs: 1 << 20, PendingBytes: 1 << 30})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{feed: f, subjects: f.topics.subjects()}
	var reading sync.WaitGroup
	reading.Go(func() { r.run(ctx) })
	t.Cleanup(func() {
		for _, s := range f.subscriptions() {
			s.end(ErrClosed)
		}
		f.shards[0].obey()
		f.pumps.Wait()
		cancel()
		reading.Wait()
	})
	<-f.Loaded()
	return &stepped{t: t, feed: f, shard: f.shards[0], js: js}
}

// publish stores n events and waits until the ring has them; the shard is not
// told.
func (s *stepped) publish(n, size int) {
	s.t.Helper()
	for range n {
		ack, err := s.js.Publish(s.t.Context(), "events.a", bytes.Repeat([]byte("1"), size))
		require.NoError(s.t, err)
		s.last = ack.Sequence
	}
	require.Eventually(s.t, func() bool { return s.feed.Position().Seq == s.last }, natstest.Patience, time.Millisecond)
}

// connect begins a client at a position and returns when it has written all
// that it fetches itself.
func (s *stepped) connect(after uint64) *socket {
	s.t.Helper()
	topics, err := NewTopics()
	require.NoError(s.t, err)
	id := event.ID{Epoch: s.feed.Position().Epoch, Seq: after}
	sub, err := s.feed.Subscribe(s.t.Context(), Request{Topics: topics, Start: Start{Cursor: id.String()}})
	require.NoError(s.t, err)
	joins := func() int {
		s.shard.mu.Lock()
		defer s.shard.mu.Unlock()
		return len(s.shard.inbox)
	}
	before := joins()
	out := &socket{ended: make(chan End, 1)}
	sub.Go(out, nil, func(e End) { out.ended <- e })
	require.Eventually(s.t, func() bool { return joins() > before }, natstest.Patience, time.Millisecond, "it does not join")
	return out
}

// want waits for the events behind a sequence to have come, and no other ones.
func (s *stepped) want(out *socket, after uint64) {
	s.t.Helper()
	var want []string
	for seq := after + 1; seq <= s.last; seq++ {
		want = append(want, event.ID{Epoch: s.feed.Position().Epoch, Seq: seq}.String())
	}
	require.Eventually(s.t, func() bool { return len(out.ids()) >= len(want) }, natstest.Patience, time.Millisecond)
	require.Equal(s.t, want, out.ids())
}

// idle moves the shard until all clients are only its own.
func (s *stepped) idle() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.shard.catchUp()
		for _, sub := range s.feed.subscriptions() {
			if sub.busy.Load() {
				return false
			}
		}
		return true
	}, natstest.Patience, time.Millisecond)
}

func TestJoinAheadOfTheShard(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 0)
	beside := s.connect(0)
	s.idle()
	beside.slow = 2 * time.Millisecond // at each of the shard's steps the others can run
	s.publish(60, 60_000)              // it takes several
	fresh, behind := s.connect(60), s.connect(50)
	s.shard.catchUp()
	s.idle()
	s.publish(3, 10)
	s.shard.catchUp()
	s.want(beside, 0)
	s.want(fresh, 60)
	s.want(behind, 50)
}

// TestBackFromTheLogAheadOfTheShard has a client that falls out of the ring and
// comes back through the log while the shard is still behind.
func TestBackFromTheLogAheadOfTheShard(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out := s.connect(0)
	s.shard.catchUp()
	s.idle()

	out.close()
	s.publish(1, 10)
	s.shard.catchUp() // the socket refuses it: the client is its pump's
	s.publish(50, 10)
	s.shard.catchUp()
	s.publish(50, 10) // these the shard does not know yet
	out.open()
	s.want(out, 0)
	s.shard.catchUp()
	s.idle()
	s.publish(5, 10)
	s.shard.catchUp()
	s.want(out, 0)
}

// TestShardOverrunByTheRing loses frames that the shard has not come to: its
// clients fetch them from the log.
func TestShardOverrunByTheRing(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out := s.connect(0)
	s.shard.catchUp()
	s.idle()
	s.publish(100, 10)
	s.idle()
	s.publish(5, 10)
	s.shard.catchUp()
	s.want(out, 0)
}

// TestHeartbeatBehindTheFrames: a heartbeat's id never says more than what was
// written before it.
func TestHeartbeatBehindTheFrames(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 0)
	s.feed.cfg.HeartbeatInterval = time.Hour
	out := s.connect(0)
	s.shard.catchUp()
	s.idle()
	out.close()
	s.publish(1, 10)
	s.shard.catchUp() // refused
	s.publish(2, 10)
	s.shard.catchUp() // announced
	for range beatSlices {
		s.shard.heartbeats(time.Now())
	}
	s.publish(2, 10) // behind the heartbeat
	s.shard.catchUp()
	out.open()
	s.want(out, 0)
	s.idle()
	out.mu.Lock()
	text := string(out.written)
	out.mu.Unlock()
	id := func(seq uint64) string { return "id: " + event.ID{Epoch: s.feed.Position().Epoch, Seq: seq}.String() }
	assert.Regexp(t, "(?s)"+id(3)+"\nevent: data.*"+id(3)+"\nevent: heartbeat.*"+id(4)+"\nevent: data.*"+id(5)+"\nevent: data", text)
}

// TestGoneBeforeItIsServed: the watch for closed connections may notice a
// client before its subscription is served, and the shard at any moment.
func TestGoneBeforeItIsServed(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 0)
	topics, err := NewTopics()
	require.NoError(t, err)
	for range 50 {
		sub, err := s.feed.Subscribe(t.Context(), Request{Topics: topics})
		require.NoError(t, err)
		var leaving sync.WaitGroup
		sub.Cut(ErrGone)
		leaving.Go(s.shard.obey)
		out := &socket{ended: make(chan End, 2)}
		out.close()
		sub.Go(out, nil, func(e End) { out.ended <- e })
		select {
		case e := <-out.ended:
			assert.ErrorIs(t, e.Err, ErrGone)
		case <-time.After(5 * time.Second):
			require.Fail(t, "it waits for a client that is gone")
		}
		leaving.Wait()
	}
	assert.Zero(t, s.feed.Count())
}
