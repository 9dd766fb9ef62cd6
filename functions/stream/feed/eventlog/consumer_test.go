package eventlog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestConsumers: what becomes of a consumer when the edge dies is the server's
// business, so its configuration must say it.
func TestConsumers(t *testing.T) {
	t.Parallel()
	everything := []string{event.AllSubjects}
	for _, tt := range []struct {
		name string
		make func(*testing.T, *rig) (stop func())
		push bool
	}{
		{"of a Tail", func(t *testing.T, r *rig) func() {
			tail, err := r.log.Follow(natstest.Context(t), "purpose", everything, r.ID(1), time.Second, "")
			require.NoError(t, err)
			return tail.Close
		}, true},
		{"for pulling", func(t *testing.T, r *rig) func() {
			c, err := r.log.Consume(natstest.Context(t), "purpose", everything, r.ID(1), "")
			require.NoError(t, err)
			return c.Close
		}, false},
	} {
		for _, end := range []string{"close", "lost connection"} {
			t.Run(tt.name+", "+end, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				stop := tt.make(t, r)
				info := r.AwaitConsumers(1)[0]
				assert.Regexp(t, `^sluice_test_purpose_[0-9a-z]+$`, info.Name)
				assert.Equal(t, "Sluice edge test", info.Config.Description)
				assert.Equal(t, 10*time.Second, info.Config.InactiveThreshold, "the server forgets it after that")
				assert.True(t, info.Config.MemoryStorage)
				assert.Equal(t, 1, info.Config.Replicas)
				assert.Equal(t, jetstream.AckNonePolicy, info.Config.AckPolicy)
				assert.Empty(t, info.Config.Durable)
				assert.EqualValues(t, 2, info.Config.OptStartSeq)
				assert.Equal(t, tt.push, info.Config.DeliverSubject != "")
				assert.Equal(t, tt.push, info.Config.FlowControl)

				if end == "close" {
					stop()
					assert.Empty(t, r.Consumers())
					return
				}
				r.line.Conn.Close()
				stop()
				assert.Equal(t, info.Name, r.AwaitConsumers(1)[0].Name, "a dead client deletes nothing")
			})
		}
	}
}

func TestConsumersHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 40
	for range n {
		_, err := r.log.Consume(natstest.Context(t), "replay", []string{event.AllSubjects}, r.ID(0), "")
		require.NoError(t, err)
	}
	assert.Len(t, r.Consumers(), n)
}

func TestFetchReadsTheFilteredEventsInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.Publish(1, "a", 4)
		r.Publish(1, "b.c", 4)
		r.Publish(1, "d", 4)
	}
	c, err := r.log.Consume(natstest.Context(t), "replay", []string{"events.a", "events.b.>"}, r.ID(1), "")
	require.NoError(t, err)
	defer c.Close()

	got, more, err := c.Fetch(natstest.Context(t), 3, 0)
	require.NoError(t, err)
	assert.True(t, more)
	rest, more, err := c.Fetch(natstest.Context(t), 3, 0)
	require.NoError(t, err)
	assert.False(t, more)
	var told []string
	for _, m := range append(got, rest...) {
		assert.Equal(t, r.Epoch, m.ID.Epoch)
		assert.Equal(t, "xxxx", string(m.Data))
		told = append(told, fmt.Sprint(m.ID.Seq, " ", m.Topic))
	}
	assert.Equal(t, []string{"2 b.c", "4 a", "5 b.c", "7 a", "8 b.c"}, told)
}

func TestFetchTellsAConsumerThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "a", 1)
	ctx := natstest.Context(t)
	c, err := r.log.Consume(ctx, "replay", []string{event.AllSubjects}, r.ID(0), "")
	require.NoError(t, err)
	_, _, err = c.Fetch(ctx, 1, 0)
	require.NoError(t, err)
	require.NoError(t, r.JS.DeleteConsumer(ctx, event.DefaultStream, c.Name()))
	_, _, err = c.Fetch(ctx, 1, 0)
	assert.ErrorIs(t, err, eventlog.ErrConsumerGone)
}

func TestAtTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(1, "a", 1)
	r.Publish(1, "a", 1)
	r.Publish(1, "a", 1)
	r.Publish(1, "a", 1)
	ctx := natstest.Context(t)
	s, err := r.JS.Stream(ctx, event.DefaultStream)
	require.NoError(t, err)
	stored := func(seq uint64) time.Time {
		m, err := s.GetMsg(ctx, seq)
		require.NoError(t, err)
		return m.Time
	}
	second, third, fourth := stored(2), stored(3), stored(4)
	require.NoError(t, s.DeleteMsg(ctx, 3))
	for _, tt := range []struct {
		name string
		at   time.Time
		want uint64
	}{
		{"before the first event", second.Add(-time.Hour), 0},
		{"when an event was stored", second, 1},
		{"just after it", second.Add(1), 3},
		{"when a deleted event was stored", third, 3},
		{"when the last event was stored", fourth, 3},
		{"after the last event", fourth.Add(time.Nanosecond), 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pos, err := r.log.AtTime(ctx, r.Epoch, tt.at)
			require.NoError(t, err)
			assert.Equal(t, r.ID(tt.want), pos)
			assert.Empty(t, r.Consumers(), "its consumer is gone")
		})
	}
}

// TestATimeTakesNoConsumer, whose creation would have all that follows counted while
// the log waits; but where the server does not let it be asked for, it does.
func TestATimeTakesNoConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "a", 1)
	ctx := natstest.Context(t)
	conn := r.Server.Connect(t)
	made, err := conn.SubscribeSync("$JS.API.CONSUMER.CREATE.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	pos, err := r.log.AtTime(ctx, r.Epoch, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	assert.Equal(t, r.ID(0), pos)
	require.NoError(t, conn.Flush())
	waiting, _, err := made.Pending()
	require.NoError(t, err)
	assert.Zero(t, waiting)
}
