package replay_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// before has do run before the next message with that beginning of its subject
// is sent.
func (r *rig) before(prefix string, do func()) {
	var once atomic.Bool
	start, done := make(chan bool), make(chan bool)
	r.line.Out(func(p feedtest.Packet) bool {
		if strings.HasPrefix(p.Subject, prefix) && once.CompareAndSwap(false, true) {
			close(start)
			<-done
		}
		return true
	})
	go func() { // ends with do
		defer close(done)
		select {
		case <-start:
			do()
		case <-r.t.Context().Done():
		}
	}()
}

const (
	askState = "$JS.API.STREAM.INFO."
	askPull  = "$JS.API.CONSUMER.MSG.NEXT."
)

// TestLossAfterTheLastChunk: after the replay's last event more are stored and
// expire before it is proven that nothing is left.
func TestLossAfterTheLastChunk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		when func(r *rig, rd *reading, lose func())
	}{
		{"before the log's state is asked for", func(r *rig, rd *reading, lose func()) {
			r.before(askState, lose)
		}},
		{"between two chunks", func(r *rig, rd *reading, lose func()) {
			rd.next()
			lose()
		}},
		{"while it is proven that nothing is left", func(r *rig, rd *reading, lose func()) {
			rd.next()
			r.before(askState, lose)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Publish(5, "a", 1)
			rd := r.open(0, "a")
			tt.when(r, rd, func() {
				r.Publish(5, "a", 1)
				r.Purge(0)
			})
			rd.readTo(r.ID(10))
			rd.assertTold(append(feedtest.Each("a", 1, 5), "gap expired to 10")...)
			r.Publish(1, "a", 1)
			rd.readTo(r.ID(11))
			rd.assertTold(append(feedtest.Each("a", 1, 5), "gap expired to 10", "11 a")...)
		})
	}
}

func TestLossInTheMiddle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events = 40
	r.Publish(events, "a", 2000)
	rd := r.open(0)
	rd.next()
	last := rd.pos.Seq
	require.Less(t, last, uint64(20))
	r.Purge(30)
	rd.readTo(r.ID(events))
	rd.assertTold(append(append(feedtest.Each("a", 1, last), "gap expired to 29"), feedtest.Each("a", 30, events)...)...)
}

func TestReplayOfAnotherLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		when func(r *rig, rd *reading, recreate func())
		told uint64
	}{
		{"between two chunks", func(r *rig, rd *reading, recreate func()) { recreate() }, 0},
		{"before a chunk is fetched", func(r *rig, rd *reading, recreate func()) { r.before(askPull, recreate) }, 0},
		{"before the log's state is asked for", func(r *rig, rd *reading, recreate func()) { r.before(askState, recreate) }, 0},
		{"after the last chunk", func(r *rig, rd *reading, recreate func()) {
			rd.readTo(r.ID(40))
			recreate()
		}, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Publish(40, "a", 2000)
			rd := r.open(0)
			rd.next()
			done := make(chan bool)
			tt.when(r, rd, func() {
				defer close(done)
				r.Recreate()
				r.Publish(50, "b", 1)
			})
			told := rd.pos.Seq
			for len(rd.told) == int(told) {
				rd.next()
			}
			natstest.Receive(t, done)
			rd.readTo(r.ID(50))
			rd.assertTold(append(append(feedtest.Each("a", 1, told), "gap recreated to 0"), feedtest.Each("b", 1, 50)...)...)
			if tt.told > 0 {
				assert.Equal(t, tt.told, told)
			}
		})
	}
}

// TestConsumerThatIsGone has somebody delete the consumer that a replay keeps.
func TestConsumerThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(40, "a", 2000)
	rd := r.open(0)
	rd.next()
	name := r.AwaitConsumers(1)[0].Name
	require.NoError(t, r.JS.DeleteConsumer(natstest.Context(t), event.DefaultStream, name))
	rd.readTo(r.ID(40))
	rd.assertTold(feedtest.Each("a", 1, 40)...)
	assert.Zero(t, rd.waited, "NATS has not failed")
}

// TestLostDelivery has the network lose single deliveries of a chunk.
func TestLostDelivery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lost int32
	}{{"the first", 1}, {"one in the middle", 3}, {"the last", 5}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Publish(5, "a", 1)
			var came atomic.Int32
			r.line.In(func(p feedtest.Packet) bool {
				return !strings.HasPrefix(p.Subject, "events.") || came.Add(1) != tt.lost
			})
			rd := r.open(0)
			rd.readTo(r.ID(5))
			rd.assertTold(feedtest.Each("a", 1, 5)...)
		})
	}
}

// TestReplayWithoutNATS says that it waits, and goes on later.
func TestReplayWithoutNATS(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(40, "a", 2000)
	rd := r.open(0)
	rd.next()
	r.Server.Stop()
	assert.True(t, rd.next().Waited)
	r.Server.Restart()
	rd.readTo(r.ID(40))
	rd.assertTold(feedtest.Each("a", 1, 40)...)
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(1, "a", 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	r.line.Out(func(p feedtest.Packet) bool {
		if !strings.HasPrefix(p.Subject, askPull) {
			return true
		}
		cancel(assert.AnError)
		return false
	})
	rd := r.open(0)
	c, err := rd.Next(ctx, rd.pos)
	assert.ErrorIs(t, err, assert.AnError)
	assert.Zero(t, c)
	r.line.Out(nil)
	rd.readTo(r.ID(1))
	rd.assertTold("1 a")
}

// TestReplayAtTheEndOfTheLog goes on where nothing more of ours is, and with
// what comes then.
func TestReplayAtTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(2, "a", 1)
	r.Publish(3, "b", 1)
	rd := r.open(0, "a")
	rd.readTo(r.ID(5))
	rd.assertTold("1 a", "2 a")
	r.Publish(1, "b", 1)
	r.Publish(1, "a", 1)
	rd.readTo(r.ID(7))
	rd.assertTold("1 a", "2 a", "7 a")
}

// TestEndThatOnlyTheLeaderKnows: where another server may have removed more than
// the leader, only the leader's own proves that nothing is left.
func TestEndThatOnlyTheLeaderKnows(t *testing.T) {
	t.Parallel()
	c := natstest.StartCluster(t, 3)
	r := newRigOn(t, feedtest.NewLogOn(t, c.Node(0), func(cfg *jetstream.StreamConfig) {
		// Younger than the clocks of two servers may be apart.
		cfg.Replicas, cfg.MaxAge, cfg.Duplicates = 3, 4*time.Second, time.Second
	}))
	var mu sync.Mutex
	var at []string // the servers of the consumers that were to prove it
	r.line.In(func(p feedtest.Packet) bool {
		var made struct {
			Name    string
			Cluster struct{ Leader string }
		}
		if json.Unmarshal(p.Data, &made) == nil && strings.Contains(made.Name, "_scan_") {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, made.Cluster.Leader)
		}
		return true
	})
	for range 4 {
		r.Publish(1, "a", 1)
		r.Publish(3, "b", 1)
		s, err := r.JS.Stream(natstest.Context(t), event.DefaultStream)
		require.NoError(t, err)
		end := s.CachedInfo().State.LastSeq
		rd := r.open(end-4, "a")
		rd.readTo(r.ID(end))
		rd.assertTold(feedtest.Each("a", end-3, end-3)...)
		mu.Lock()
		assert.Equal(t, s.CachedInfo().Cluster.Leader, at[len(at)-1])
		mu.Unlock()
	}
}

// TestCallerMovesOn by other means, forwards or back.
func TestCallerMovesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(40, "a", 2000)
	rd := r.open(0)
	rd.next()
	rd.pos, rd.told = r.ID(30), nil
	rd.readTo(r.ID(40))
	rd.assertTold(feedtest.Each("a", 31, 40)...)
	rd.pos, rd.told = r.ID(35), nil
	rd.readTo(r.ID(40))
	rd.assertTold(feedtest.Each("a", 36, 40)...)
}

// TestAnotherLogProvesNothing about the one that is replayed: the log is
// replaced before the scan for what is left.
func TestAnotherLogProvesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "a", 1)
	rd := r.open(0, "a")
	rd.readTo(r.ID(3))
	end := rd.pos
	r.before("$JS.API.CONSUMER.CREATE.", func() {
		r.Recreate()
		r.Publish(9, "b", 1)
	})
	for len(rd.told) == 3 {
		require.Equal(t, end, rd.pos)
		rd.next()
	}
	rd.assertTold("1 a", "2 a", "3 a", "gap recreated to 0")
	assert.Equal(t, r.ID(0), rd.pos)
}

// TestChunkInVain has the log's state asked for in vain after a chunk was
// delivered: the events must come again.
func TestChunkInVain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(40, "a", 2000)
	others := r.Server.Connect(t)
	r.line.Out(func(p feedtest.Packet) bool {
		if !strings.HasPrefix(p.Subject, askState) {
			return true
		}
		r.line.Out(nil)
		assert.NoError(t, others.Publish(p.Reply, []byte(`{"error":{"code":503,"err_code":10008,"description":"no leader"}}`)))
		return false
	})
	rd := r.open(0)
	assert.True(t, rd.next().Waited)
	assert.Empty(t, r.Consumers(), "it has delivered what it will not deliver again")
	rd.readTo(r.ID(40))
	rd.assertTold(feedtest.Each("a", 1, 40)...)
	assert.Equal(t, 1, rd.waited)
}
