package stream_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// visit is what one client saw that came with a cursor near the log's start.
type visit struct {
	cursor, end uint64
	filters     []string
	journal     streamtest.Journal
	err         error
	firsts      []uint64 // the log's first sequence after each gap was told
}

// TestReplicasRemoveByTheirOwnClocks: of a log on three servers each removes what
// is too old at a time of its own, so that a consumer's server may lack what the
// leader still has. Clients resume there all the time: they get every event or
// are told, and are not told that they miss what the log still holds.
func TestReplicasRemoveByTheirOwnClocks(t *testing.T) {
	natstest.CheckGoroutines(t)
	const (
		maxAge  = time.Second
		lasting = 5 * time.Second
		atOnce  = 8
		pace    = 4 * time.Millisecond
	)
	cluster := natstest.StartCluster(t, 3)
	log := streamtest.NewLog(t, cluster.JetStream(t), func(c *jetstream.StreamConfig) {
		c.Replicas, c.MaxAge, c.Duplicates = 3, maxAge, maxAge
	})
	edge := streamtest.Start(t, strings.Join(cluster.URLs(), ","), func(o *streamtest.Options) { o.Feed.RingEvents = 5 })
	looker, err := eventlog.New(cluster.Connect(t), event.DefaultStream, "looker")
	require.NoError(t, err)

	var last atomic.Uint64
	run := func(v *visit) {
		c, err := streamtest.Connect(edge.URL, streamtest.Query{Topics: v.filters, LastID: log.ID(v.cursor)})
		if v.err = err; err != nil {
			return
		}
		defer c.Close()
		for gaps := 0; v.err == nil; gaps = len(v.journal.Gaps) {
			b, err := c.Next()
			if v.err = err; err == nil {
				v.err = v.journal.Add(b)
			}
			if v.err == nil && len(v.journal.Gaps) > gaps {
				var now eventlog.State
				now, v.err = looker.State(t.Context(), time.Now())
				v.firsts = append(v.firsts, now.FirstSeq)
			}
			if v.err == nil && b.Seq() >= v.end {
				return
			}
		}
	}
	var clients sync.WaitGroup
	visits := make([][]*visit, atOnce)
	began := time.Now()
	for i := range visits {
		clients.Go(func() {
			filters := [][]string{nil, {"a"}, {"a", "b"}}[i%3]
			for time.Since(began) < lasting {
				// As old as the log keeps events, more or less.
				kept := uint64(maxAge / pace)
				old := kept - kept/4 + rand.Uint64N(kept/2)
				end := last.Load()
				if end < old {
					time.Sleep(pace)
					continue
				}
				v := &visit{cursor: end - old, end: end, filters: filters}
				run(v)
				visits[i] = append(visits[i], v)
				if v.err != nil {
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { // ends with the clients
		defer close(ended)
		clients.Wait()
	}()
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for going := true; going; {
		select {
		case <-ended:
			going = false
		case <-ticks.C:
			last.Store(log.Publish([]string{"a", "b", "c"}[rand.IntN(3)]).Seq)
		}
	}

	total, gaps := 0, 0
	for _, all := range visits {
		for _, v := range all {
			total++
			gaps += len(v.firsts)
			require.NoError(t, v.err, "from %d", v.cursor)
			want := log.Match(v.cursor, v.filters...)
			for len(want) > 0 && want[len(want)-1].Seq > max(v.end, v.journal.Seen[len(v.journal.Seen)-1].Seq()) {
				want = want[:len(want)-1]
			}
			require.NoError(t, v.journal.Explain(want, math.MaxUint64), "topics %v from %d", v.filters, v.cursor)
			for i, g := range v.journal.Gaps {
				if held := log.Match(v.firsts[i]-1, v.filters...); len(held) > 0 {
					require.Greater(t, held[0].Seq, g.Seq(), "told as lost, and the log begins at %d: %+v", v.firsts[i], g)
				}
			}
		}
	}
	t.Log(total, "clients,", gaps, "gaps")
	assert.NotZero(t, gaps, "nobody came near enough to the log's start")
}
