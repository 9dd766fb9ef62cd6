package stream_test

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// fleet is edges on one log, over both ways to the socket, some of which have
// so small a ring that almost every resume reads the log.
func fleet(t *testing.T, url string) []*streamtest.Edge {
	var edges []*streamtest.Edge
	for _, way := range []func(*streamtest.Options){direct, throughHTTP} {
		for _, ring := range []int{16, 0} {
			edges = append(edges, streamtest.Start(t, url, way, func(o *streamtest.Options) {
				o.Feed.RingEvents = ring
				o.Feed.HeartbeatInterval = 64 * time.Millisecond
				o.Feed.Pending.Msgs = 10_000
			}))
		}
	}
	return edges
}

// TestResumeAfterAnyCut: a client whose connection ends at any byte, and which
// comes back to any instance with the last id it saw, whatever block it was of,
// sees each event once and in order.
func TestResumeAfterAnyCut(t *testing.T) {
	natstest.CheckGoroutines(t)
	ns := natstest.Start(t)
	log := streamtest.NewLog(t, ns.JetStream(t))
	log.PublishN(50, topics...)
	edges := fleet(t, ns.URL())
	filters := rapid.SampledFrom([][]string{
		nil, {"metric.*"}, {"log.error"}, {"log.>", "metric.cpu"}, {"*.error", "log.*", "alert"}, {"metric.>", "metric.cpu", "log.app.>"},
	})

	// rapid shows a failure that comes back; here some depend on the moment.
	noError := func(rt *rapid.T, err error) {
		if err != nil {
			t.Log("a failure, before it was made smaller:", err)
			rt.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		q := streamtest.Query{Topics: filters.Draw(rt, "topics")}
		anyEdge := func() string { return edges[rapid.IntRange(0, len(edges)-1).Draw(rt, "edge")].URL }
		var j streamtest.Journal
		for range rapid.IntRange(1, 6).Draw(rt, "connections") {
			order := rapid.Permutation(topics).Draw(rt, "order")
			log.PublishN(rapid.IntRange(0, 400).Draw(rt, "missed"), order...)
			c, err := streamtest.Connect(anyEdge(), q)
			require.NoError(rt, err)
			if rapid.Bool().Draw(rt, "cut") {
				c.CutAfter(rapid.IntRange(0, 20_000).Draw(rt, "bytes"))
			}
			meanwhile := rapid.IntRange(0, 400).Draw(rt, "meanwhile")
			var publishing sync.WaitGroup
			enough := streamtest.At(log.Last().Seq + uint64(meanwhile))
			publishing.Go(func() { log.PublishN(meanwhile, order...) })
			err = j.Read(c, enough)
			publishing.Wait()
			if !streamtest.IsCut(err) {
				noError(rt, err)
			}
			if rapid.Bool().Draw(rt, "reset") {
				c.Reset()
			} else {
				c.Close()
			}
			q.LastID = j.LastID
		}
		c, err := streamtest.Connect(anyEdge(), q)
		require.NoError(rt, err)
		defer c.Close()
		log.Publish(topics...)
		noError(rt, j.Read(c, streamtest.At(log.Last().Seq)))
		require.Empty(rt, j.Gaps)
		noError(rt, j.Compare(log.Match(j.Start().Seq, q.Topics...)))
	})
}

func TestTopicsMayChangeOnResume(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, smallRing)
		c := r.live(t, "a")
		r.log.PublishN(40, "a", "b", "c")
		c.Events(t, 10)
		cursor := c.LastID()
		for _, filters := range [][]string{{"a", "b"}, {"b"}, {">"}, {"c.>", "c"}} {
			again := r.open(t, streamtest.Query{Topics: filters, LastID: cursor})
			again.System(t, "open")
			for _, want := range r.log.Match(28, filters...) {
				require.Equal(t, want.Data, again.Event(t).Data, "topics %v begin at the cursor", filters)
			}
		}
	})
}

// TestResumeOnAMirror: a leaf site's copy of the log keeps the sequences and,
// in its metadata, the origin's epoch; clients can go from one to the other.
func TestResumeOnAMirror(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t))
		mirror := jetstream.StreamConfig{Name: "MIRROR", Mirror: &jetstream.StreamSource{Name: log.Stream}}
		epoch(log.Epoch)(&mirror)
		_, err := log.JS.CreateStream(t.Context(), mirror)
		require.NoError(t, err)
		edges := []*streamtest.Edge{
			streamtest.Start(t, ns.URL(), way, smallRing),
			streamtest.Start(t, ns.URL(), way, smallRing, func(o *streamtest.Options) { o.Feed.Stream = "MIRROR" }),
		}
		var j streamtest.Journal
		for i := range 6 {
			c := streamtest.Open(t, edges[i%2].URL, streamtest.Query{Topics: []string{"a", "b"}, LastID: j.LastID})
			log.PublishN(60, "a", "b", "c")
			require.NoError(t, j.Read(c, streamtest.At(log.Last().Seq-uint64(20*(i%3))-1)))
			c.Close()
		}
		require.NoError(t, j.Compare(log.Match(j.Start().Seq, "a", "b")[:len(j.Events)]))
		require.Greater(t, len(j.Events), 200)
		require.Empty(t, j.Gaps)
	})
}
