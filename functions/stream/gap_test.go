package stream_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// assertGap wants a gap block with the reason and the first event behind it.
func assertGap(t *testing.T, reason wire.Reason, log *streamtest.Log, first uint64, b streamtest.Block) {
	t.Helper()
	s := b.System()
	assert.Equal(t, reason, s.Reason)
	assert.Equal(t, log.ID(first), s.First)
	assert.Equal(t, log.ID(first-1), b.ID, "its id is just before the next event")
	assert.NotEmpty(t, s.Requested)
}

// TestRecreatedUnderClients deletes and recreates the stream under a client
// that is live and one whose replay has begun.
func TestRecreatedUnderClients(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way, smallRing)
		r.log.Pad = 1000
		r.log.PublishN(3000, topics...)
		old := r.log.Events
		require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 3000 }, natstest.Patience, time.Millisecond)
		live := r.live(t)
		replaying := r.open(t, streamtest.Query{LastID: r.log.ID(0)})
		before := *r.log
		oldID := before.ID

		r.log.Delete()
		<-time.After(2 * time.Millisecond) // the epoch is in milliseconds
		r.log.Pad = 0
		r.log.Create()
		require.NotEqual(t, oldID(1), r.log.ID(1))
		r.log.PublishN(40, topics...)

		assertGap(t, "recreated", r.log, 1, live.System(t, "gap"))
		for _, want := range r.log.Match(0) {
			assert.Equal(t, want.Data, live.Event(t).Data)
		}

		replaying.System(t, "open")
		b := replaying.Block(t)
		n := 0
		for ; b.IsEvent(); b = replaying.Block(t) {
			require.Equal(t, oldID(old[n].Seq), b.ID)
			n++
		}
		assert.Less(t, n, len(old))
		assertGap(t, "recreated", r.log, 1, b)
		for _, want := range r.log.Match(0) {
			assert.Equal(t, want.Data, replaying.Event(t).Data)
		}

		again := r.open(t, streamtest.Query{LastID: oldID(17)})
		assertGap(t, "recreated", r.log, 1, again.System(t, "open"))
		assert.Equal(t, r.log.Events[0].Data, again.Event(t).Data)
	})
}

// TestCursorOfALogNotYetKnown comes from an instance that has noticed sooner
// that the stream is another one.
func TestCursorOfALogNotYetKnown(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way)
		r.log.PublishN(5, "a")
		foreign := r.open(t, streamtest.Query{LastID: event.ID{Epoch: 1, Seq: 1}.String()})
		assert.EqualValues(t, "recreated", foreign.System(t, "open").System().Reason, "it has just asked for the log's state")
		r.log.Delete()
		<-time.After(2 * time.Millisecond) // the epoch is in milliseconds
		r.log.Create()
		resume := func(seq uint64) *streamtest.Client {
			c := r.open(t, streamtest.Query{LastID: r.log.ID(seq)})
			assert.Equal(t, "complete", c.System(t, "open").System().Resumed)
			return c
		}
		early := resume(0) // it has just heard that the new log is empty
		r.log.PublishN(10, "a")
		late := resume(4)
		for c, after := range map[*streamtest.Client]uint64{early: 0, late: 4} {
			for _, want := range r.log.Match(after) {
				b := c.Event(t)
				require.Equal(t, r.log.ID(want.Seq), b.ID)
				require.Equal(t, want.Data, b.Data)
			}
		}
		next := r.log.Publish("a")
		assert.Equal(t, next.Data, early.Event(t).Data)
		assert.Equal(t, next.Data, late.Event(t).Data)
	})
}

// TestRetentionOvertakesAReplay has a client that stops reading while the
// stream forgets what it has not read.
func TestRetentionOvertakesAReplay(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 })
		log.Pad = 2000
		edge := streamtest.Start(t, ns.URL(), way, smallRing)
		log.PublishN(1000, "a", "b", "c")
		require.Eventually(t, func() bool { return edge.Feed.Position().Seq == 1000 }, natstest.Patience, time.Millisecond)

		var clients []*streamtest.Client
		filters := [][]string{nil, {"a"}, {"a", "c"}}
		for _, f := range filters {
			c := streamtest.Open(t, edge.URL, streamtest.Query{Topics: f, LastID: log.ID(0)})
			assert.Equal(t, "complete", c.System(t, "open").System().Resumed)
			clients = append(clients, c)
		}
		log.PublishN(2500, "a", "b", "c")
		for i, c := range clients {
			j := streamtest.Journal{}
			want := log.Match(0, filters[i]...)
			require.NoError(t, j.Read(c, streamtest.At(want[len(want)-1].Seq)), "topics %v", filters[i])
			require.NoError(t, j.Explain(want, log.Last().Seq-999), "topics %v", filters[i])
			require.NotEmpty(t, j.Gaps, "topics %v", filters[i])
			for _, gap := range j.Gaps {
				assert.Equal(t, wire.ReasonExpired, gap.System().Reason)
			}
		}
	})
}

// TestRetentionOvertakesEverybody publishes faster than a stream of 32 events
// can be read: the feed, replays and resumes all lose events and say which.
func TestRetentionOvertakesEverybody(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxMsgs = 32 })
		log.PublishN(100, "a", "b")
		edge := streamtest.Start(t, ns.URL(), way, smallRing, func(o *streamtest.Options) { o.Feed.Pending.Msgs = 100_000 })
		const total = 10_000
		type seen struct {
			filters []string
			journal streamtest.Journal
			err     error
		}
		clients := []*seen{{filters: nil}, {filters: []string{"a"}}, {filters: nil}, {filters: []string{"a"}}}
		done := make(chan struct{}, len(clients))
		for i, s := range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				q := streamtest.Query{Topics: s.filters, LastID: log.ID(100)}
				for s.err == nil {
					c, err := streamtest.Connect(edge.URL, q)
					if err != nil {
						s.err = err
						return
					}
					if i >= 2 { // resumes all the time
						c.CutAfter(20_000)
					}
					s.err = s.journal.Read(c, streamtest.At(100+total-1))
					c.Close()
					if s.err == nil {
						return
					}
					if streamtest.IsCut(s.err) {
						s.err = nil
					}
					q.LastID = s.journal.LastID
				}
			}()
		}
		log.PublishN(total, "a", "b")
		for range clients {
			natstest.Receive(t, done)
		}
		for i, s := range clients {
			require.NoError(t, s.err, "client %d", i)
			want := log.Match(100, s.filters...)
			if last := s.journal.Seen[len(s.journal.Seen)-1]; last.Seq() == 100+total-1 && len(s.filters) == 0 {
				want = want[:len(want)-1] // it stopped one event before the end
			}
			require.NoError(t, s.journal.Explain(want, log.Last().Seq-31), "client %d", i)
		}
	})
}

// TestPurgeBeforeTheFeedHasRead empties the stream while the feed is behind:
// nothing comes that could show what is missing.
func TestPurgeBeforeTheFeedHasRead(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) {
			o.Feed.HeartbeatInterval = 64 * time.Millisecond
			o.Feed.Pending.Msgs = 100_000
		})
		c := r.live(t)
		var j streamtest.Journal
		for range 3 {
			r.log.PublishN(3000, "a", "b")
			purgeTo(t, r.log, r.log.Last().Seq+1)
			require.NoError(t, j.Read(c, streamtest.At(r.log.Last().Seq)))
			require.NoError(t, j.Explain(r.log.Match(0), r.log.Last().Seq+1))
		}
	})
}

func TestAheadOfTheLog(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way)
		r.log.Publish("a")
		soon := r.open(t, streamtest.Query{LastID: r.log.ID(1)})
		opened := make(chan *streamtest.Client, 2)
		for _, seq := range []uint64{1000, 3} {
			go func() {
				c, err := streamtest.Connect(r.edge.URL, streamtest.Query{LastID: r.log.ID(seq)})
				assert.NoError(t, err)
				opened <- c
			}()
		}
		r.log.Publish("a", "a", "a") // now 3 is in the log
		reached := natstest.Receive(t, opened)
		assert.Equal(t, r.log.ID(3), reached.System(t, "open").ID)
		assert.Equal(t, r.log.ID(4), reached.Event(t).ID)
		reached.Close()

		ahead := natstest.Receive(t, opened)
		defer ahead.Close()
		assertGap(t, "ahead", r.log, 5, ahead.System(t, "open"))
		e := r.log.Publish("a")
		assert.Equal(t, e.Data, ahead.Event(t).Data)
		soon.System(t, "open")
		assert.Len(t, soon.Events(t, 4), 4, "others are not concerned")
	})
}

// epoch sets the stream's metadata epoch.
func epoch(ms int64) func(*jetstream.StreamConfig) {
	return func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"epoch": strconv.FormatInt(ms, 10)} }
}

func TestMetadataEpoch(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t), epoch(1_700_000_000_000))
		assert.EqualValues(t, 1_700_000_000_000, log.Epoch)
		edge := streamtest.Start(t, ns.URL(), way)
		c := streamtest.Open(t, edge.URL, streamtest.Query{})
		c.System(t, "open")
		first := log.Publish("a")
		assert.Equal(t, log.ID(1), c.Event(t).ID, "metadata wins over the creation time")

		// What an operator does after a restore.
		cfg := event.StreamConfig(log.Stream, event.StreamLimits{})
		epoch(1_800_000_000_000)(&cfg)
		_, err := log.JS.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
		log.Epoch = 1_800_000_000_000
		assertGap(t, "recreated", log, 1, c.System(t, "gap"))
		assert.Equal(t, log.ID(first.Seq), c.Event(t).ID, "on at the oldest kept event")
	})
}

// TestLogGoesBack is a log that lost its tail under the same epoch, as after
// an operating system's crash.
func TestLogGoesBack(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t), epoch(1_700_000_000_000))
		edge := streamtest.Start(t, ns.URL(), way)
		live := streamtest.Open(t, edge.URL, streamtest.Query{})
		live.System(t, "open")
		log.PublishN(50, "a")
		live.Events(t, 50)

		log.Delete()
		log.Create(epoch(1_700_000_000_000))
		log.PublishN(20, "a")
		assertGap(t, "ahead", log, 21, live.System(t, "gap"))
		next := log.Publish("a")
		b := live.Event(t)
		assert.Equal(t, log.ID(21), b.ID)
		assert.Equal(t, next.Data, b.Data)

		fresh := streamtest.Open(t, edge.URL, streamtest.Query{LastID: log.ID(10)})
		fresh.System(t, "open")
		assert.Equal(t, log.Events[10].Data, fresh.Event(t).Data, "the new log's, not what the ring had")
	})
}
