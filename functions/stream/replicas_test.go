package stream_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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
		maxAge = time.Second
		visits = 400
		atOnce = 8
		pace   = 4 * time.Millisecond
	)
	cluster := natstest.StartCluster(t, 3)
	log := streamtest.NewLog(t, cluster.JetStream(t), func(c *jetstream.StreamConfig) {
		c.Replicas, c.MaxAge, c.Duplicates = 3, maxAge, maxAge
	})
	edge := streamtest.Start(t, strings.Join(cluster.URLs(), ","), func(o *streamtest.Options) { o.Feed.RingEvents = 5 })
	looker, err := eventlog.New(cluster.Connect(t), "", event.DefaultStream, "looker")
	require.NoError(t, err)

	var mu sync.Mutex
	var times []time.Time // when the sequences from 1 on were stored
	stored := func(ago time.Duration) (cursor, end uint64) {
		mu.Lock()
		defer mu.Unlock()
		if len(times) == 0 || time.Since(times[0]) < 2*maxAge {
			return 0, 0 // nothing is removed yet
		}
		i, _ := slices.BinarySearchFunc(times, time.Now().Add(-ago), time.Time.Compare)
		return uint64(i), uint64(len(times))
	}
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
	all := make([][]*visit, atOnce)
	for i := range all {
		clients.Go(func() {
			filters := [][]string{nil, {"a"}, {"a", "b"}}[i%3]
			for len(all[i]) < visits/atOnce {
				// As old as the log keeps events, more or less.
				cursor, end := stored(maxAge*3/4 + rand.N(maxAge/2))
				if cursor == 0 || cursor == end {
					time.Sleep(pace)
					continue
				}
				v := &visit{cursor: cursor, end: end, filters: filters}
				run(v)
				all[i] = append(all[i], v)
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
			seq := log.Publish([]string{"a", "b", "c"}[rand.IntN(3)]).Seq
			mu.Lock()
			require.EqualValues(t, len(times)+1, seq)
			times = append(times, time.Now())
			mu.Unlock()
		}
	}

	total, gaps := 0, 0
	for _, of := range all {
		for _, v := range of {
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
