package reader_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/reader"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// assertSection wants the ring to know a position, or not.
func (r *rig) assertSection(known bool, id event.ID) {
	r.t.Helper()
	_, ok := r.ring.Locate(id)
	assert.Equal(r.t, known, ok, "%d of the log of %d", id.Seq, id.Epoch)
}

// TestReaderOfAnotherLog has the log replaced by another one.
func TestReaderOfAnotherLog(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(3, "a", 1)
	r.awaitPosition(3)
	old := r.ID(3)
	r.Recreate()
	r.Publish(5, "b", 1)
	r.assertTold(5, append(feedtest.Each("a", 1, 3), append([]string{"gap recreated to 0"}, feedtest.Each("b", 1, 5)...)...)...)
	r.assertSection(false, old)
	r.assertSection(true, r.ID(0))
}

// TestReaderOfALogThatWentBack has a log restored that has lost its newest
// events.
func TestReaderOfALogThatWentBack(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	sameEpoch := func(c *jetstream.StreamConfig) {
		c.Metadata = map[string]string{"epoch": strconv.FormatInt(r.Epoch, 10)}
	}
	r.Publish(5, "a", 1)
	r.awaitPosition(5)
	r.Recreate(sameEpoch)
	r.Publish(3, "b", 1)
	r.awaitRestart("the log ends at sequence 3, before the feed's position 5")
	r.awaitPosition(3)
	r.Publish(1, "b", 1)
	r.assertTold(4, append(feedtest.Each("a", 1, 5), "gap ahead to 3", "4 b")...)
	r.assertSection(false, r.ID(2))
	r.assertSection(true, r.ID(3))
}

// TestReaderOfALogThatCatchesUp with itself in time loses nothing.
func TestReaderOfALogThatCatchesUp(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	sameEpoch := func(c *jetstream.StreamConfig) {
		c.Metadata = map[string]string{"epoch": strconv.FormatInt(r.Epoch, 10)}
	}
	r.Publish(2, "a", 1)
	r.awaitPosition(2)
	r.Recreate(sameEpoch)
	r.Publish(4, "a", 1)
	r.awaitPosition(4)
	assert.Equal(t, feedtest.Each("a", 1, 4), feedtest.Told(r.frames()))
}

// TestExpired has events removed before the reader has read them: while it has
// a consumer, and while it has none.
func TestExpired(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		remove uint64 // below this sequence; 0 is all
		want   []string
	}{
		{"some", 7, []string{"gap expired to 6", "7 a", "8 a"}},
		{"all", 0, []string{"gap expired to 8"}},
	} {
		for _, restarted := range []bool{false, true} {
			name := tt.name + ", told by the consumer"
			if restarted {
				name = tt.name + ", told by the log's state"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := run(t, feedtest.NewLog(t))
				r.Publish(3, "a", 1)
				r.awaitPosition(3)
				goOn := func() { r.awaitRestart("nothing heard") }
				if restarted {
					r.silence()
				} else {
					goOn = r.pause()
				}
				r.Publish(5, "a", 1)
				r.Purge(tt.remove)
				goOn()
				r.assertTold(8, append(feedtest.Each("a", 1, 3), tt.want...)...)
				r.assertSection(true, r.ID(0))
				r.Publish(1, "a", 1)
				r.assertTold(9, append(append(feedtest.Each("a", 1, 3), tt.want...), "9 a")...)
			})
		}
	}
}

// TestDeletedInTheMiddle is no loss: somebody wanted it.
func TestDeletedInTheMiddle(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(3, "a", 1)
	r.awaitPosition(3)
	resume := r.pause()
	r.Publish(5, "a", 1)
	ctx := natstest.Context(t)
	s, err := r.JS.Stream(ctx, event.DefaultStream)
	require.NoError(t, err)
	require.NoError(t, s.DeleteMsg(ctx, 5))
	require.NoError(t, s.DeleteMsg(ctx, 6))
	resume()
	r.assertTold(8, append(feedtest.Each("a", 1, 4), "7 a", "8 a")...)
}

// TestExpiredWhileTheLogIsAsked has the answer about the log's first sequence on
// its way while more events expire and others arrive: for those it proves
// nothing.
func TestExpiredWhileTheLogIsAsked(t *testing.T) {
	t.Parallel()
	r := runAs(t, reader.New, feedtest.NewLog(t), "events.a")
	r.Publish(1, "a", 1)
	r.awaitPosition(1)
	nc, arrived, asked := r.Server.Connect(t), make(chan bool, 100), make(chan bool, 100)
	info := "$JS.API.STREAM.INFO." + event.DefaultStream
	r.line.In(func(p feedtest.Packet) bool {
		if isEvent(p) {
			arrived <- true
		}
		return true
	})
	r.line.Out(func(p feedtest.Packet) bool {
		if p.Subject == info {
			asked <- true
		}
		return p.Subject != info
	})

	r.Publish(1, "b", 1)
	r.Publish(1, "a", 1)
	natstest.Receive(t, arrived)
	natstest.Receive(t, asked)
	answer, err := nc.RequestWithContext(natstest.Context(t), info, nil)
	require.NoError(t, err)
	resume := r.pause()
	r.Publish(4, "a", 1)
	r.Purge(6)
	resume()
	natstest.Receive(t, arrived)
	natstest.Receive(t, arrived)
	require.NoError(t, r.line.Conn.Flush(), "both wait for the reader")
	r.line.Out(func(p feedtest.Packet) bool { // it is asked again
		if p.Subject != info {
			return true
		}
		r.line.Out(nil)
		assert.NoError(t, nc.Publish(p.Reply, answer.Data))
		return false
	})
	r.assertTold(7, "1 a", "3 a", "gap expired to 5", "6 a", "7 a")
}

// TestRecreatedWhileTheReaderRestarts: the new consumer reads another log than
// the one that was checked.
func TestRecreatedWhileTheReaderRestarts(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(3, "a", 1)
	r.awaitPosition(3)
	create, recreated := make(chan bool), make(chan bool)
	r.line.Out(func(p feedtest.Packet) bool {
		if strings.HasPrefix(p.Subject, "$JS.API.CONSUMER.CREATE.") {
			r.line.Out(nil)
			close(create)
			<-recreated
		}
		return true
	})
	r.silence()
	natstest.Receive(t, create)
	r.Recreate()
	r.Publish(5, "b", 1)
	close(recreated)
	r.assertTold(5, append(append(feedtest.Each("a", 1, 3), "gap recreated to 0"), feedtest.Each("b", 1, 5)...)...)
}
