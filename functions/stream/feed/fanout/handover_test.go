package fanout

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
)

func TestJoinAheadOfTheShard(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 1<<16)
	beside := s.connect(0)
	s.live()
	beside.slow = 2 * time.Millisecond // at each of the shard's steps the others can run
	s.publish(60, 60_000)              // it takes several
	fresh, older := s.connect(60), s.connect(50)
	s.shard.flush()
	s.live()
	s.publish(3, 10)
	s.shard.flush()
	s.want(beside, 0)
	s.want(fresh, 60)
	s.want(older, 50)
}

// TestBackFromTheLogAheadOfTheShard has a client that falls out of the ring and
// comes back through the log while the shard is still behind.
func TestBackFromTheLogAheadOfTheShard(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out := s.connect(0)
	s.shard.flush()
	s.live()

	out.close()
	s.publish(1, 10)
	s.shard.flush() // the socket refuses it: the client is its pump's
	s.publish(50, 10)
	s.shard.flush()
	s.publish(50, 10) // these the shard does not know yet
	out.open()
	s.want(out, 0)
	s.shard.flush()
	s.live()
	s.publish(5, 10)
	s.shard.flush()
	s.want(out, 0)
}

// TestShardOverrunByTheRing loses frames that the shard has not come to: its
// clients fetch them from the log.
func TestShardOverrunByTheRing(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out := s.connect(0)
	s.shard.flush()
	s.live()
	s.publish(100, 10)
	s.live()
	s.publish(5, 10)
	s.shard.flush()
	s.want(out, 0)
}

// TestHeartbeatAfterTheFrames: a heartbeat's id never says more than what was
// written before it.
func TestHeartbeatAfterTheFrames(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 1<<16)
	out := s.connect(0)
	s.shard.flush()
	s.live()
	out.close()
	s.publish(1, 10)
	s.shard.flush() // refused
	s.publish(2, 10)
	s.shard.flush() // announced
	for range wheelTicks {
		s.shard.heartbeats(time.Now())
	}
	s.publish(2, 10) // behind the heartbeat
	s.shard.flush()
	out.open()
	s.want(out, 0)
	s.live()
	assert.Regexp(t, "(?s)"+block(3, "data")+".*"+block(3, "heartbeat")+".*"+block(4, "data")+".*"+block(5, "data"), out.text())
}

// TestNoHeartbeatFromBeforeTheLog: a client that falls out of the ring reads more of
// the log than the feed, which then passes over that because it has expired. The
// heartbeat that the shard gave it before would say less than what was written.
func TestNoHeartbeatFromBeforeTheLog(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out := s.connect(0)
	s.shard.flush()
	s.live()

	out.close()
	s.publish(1, 10)
	s.shard.flush() // refused
	s.publish(50, 10)
	s.shard.flush()
	for range wheelTicks {
		s.shard.heartbeats(time.Now())
	}
	const last, passed = 52, 60
	f, _ := wire.NewFrame(encoder, &wire.Message{ID: position(last), Topic: "a", Data: []byte("1"), Time: time.Now()})
	s.log.add(f)
	out.open()
	require.Eventually(t, func() bool { return len(out.ids()) == last }, natstest.Patience, time.Millisecond)
	s.ring.Append(wire.NewGap(encoder, wire.ReasonExpired, position(last-1), position(passed)))
	s.live()
	checkIDs(t, out.text())
	assert.Contains(t, out.text(), block(passed, "system"))
}

// TestGoneBeforeItIsServed: the watch for closed connections may notice a
// client before its subscription is served, and the shard at any moment.
func TestGoneBeforeItIsServed(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 1<<16)
	for range 50 {
		sub, err := s.fanout.Subscribe(set(t), encoder)
		require.NoError(t, err)
		sub.Open(position(0), wire.Open{})
		var leaving sync.WaitGroup
		sub.Cut(ErrGone)
		leaving.Go(s.shard.empty)
		out := &socket{ended: make(chan End, 2)}
		out.close()
		sub.Go(out, nil, func(e End) { out.ended <- e })
		assert.ErrorIs(t, s.ended(out).Err, ErrGone)
		leaving.Wait()
	}
	assert.Zero(t, s.fanout.Count())
}
