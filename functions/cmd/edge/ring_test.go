package main

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

var chunks = regexp.MustCompile(`(?m)^sse_replay_chunks_total (\d+)$`)

// replayed is how many chunks the edge has read from JetStream for clients.
func (e *edge) replayed() int {
	e.t.Helper()
	found := chunks.FindStringSubmatch(e.metrics())
	require.NotNil(e.t, found)
	n, err := strconv.Atoi(found[1])
	require.NoError(e.t, err)
	return n
}

// resumes has a client resume behind seq and read up to the log's end.
func (r *rig) resumes(t *testing.T, e *edge, seq uint64) {
	t.Helper()
	var j streamtest.Journal
	require.NoError(t, j.Read(e.open(streamtest.Query{LastID: r.log.ID(seq)}), streamtest.At(r.log.Last().Seq)))
	require.NoError(t, j.Compare(r.log.Match(seq)))
}

// ring is the test of RING_EVENTS and RING_BYTES: of 50 events of a kilobyte
// the edge keeps about ten, and reads the log for those who need more.
func ring(t *testing.T, name, value string) {
	r := newRig(t)
	r.log.Pad = 1000
	r.log.PublishN(50, "a")
	e := r.edge(t, name, value)
	r.resumes(t, e, 45)
	assert.Zero(t, e.replayed(), "from memory")
	r.resumes(t, e, 30)
	assert.Positive(t, e.replayed(), "from the log")
}

func testRingEvents(t *testing.T) { ring(t, "RING_EVENTS", "10") }

func testRingBytes(t *testing.T) { ring(t, "RING_BYTES", "15000") }

// testReplayConcurrency counts the consumers of replays that live at one time, by
// the edge's requests: each deletes its consumer before another may begin. With
// more room there are more, though maybe not at the first try.
func testReplayConcurrency(t *testing.T) {
	r := newRig(t)
	r.log.PublishN(50, "a")
	one := r.most(t, "1")
	one.round()
	assert.Equal(t, 1, one.most)
	many := r.most(t, "8")
	for range 100 {
		if many.round(); many.most > 1 {
			break
		}
	}
	assert.Greater(t, many.most, 1)
	assert.LessOrEqual(t, many.most, 8)
}

// replays watches the replays of an edge.
type replays struct {
	round func() // some clients resume at once
	most  int    // consumers at one time, in all rounds
}

func (r *rig) most(t *testing.T, concurrency string) *replays {
	t.Helper()
	e := r.edge(t, "REPLAY_CONCURRENCY", concurrency, "RING_EVENTS", "1", "SHARDS", "8")
	conn := r.nats.Connect(t)
	api, err := conn.SubscribeSync("$JS.API.CONSUMER.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	w := &replays{}
	w.round = func() {
		const clients = 20
		var resuming sync.WaitGroup
		for range clients {
			resuming.Go(func() {
				c, err := streamtest.Connect(e.URL(), streamtest.Query{LastID: r.log.ID(0)})
				if !assert.NoError(t, err) {
					return
				}
				defer c.Close()
				var j streamtest.Journal
				assert.NoError(t, j.Read(c, streamtest.At(r.log.Last().Seq)))
				assert.NoError(t, j.Compare(r.log.Match(0)))
			})
		}
		resuming.Wait()
		w.count(t, api, clients)
	}
	return w
}

// count takes the requests of so many replays.
func (w *replays) count(t *testing.T, api *nats.Subscription, replays int) {
	t.Helper()
	for live := 0; replays > 0 || live > 0; {
		m, err := api.NextMsg(natstest.Patience)
		require.NoError(t, err)
		switch {
		case !strings.Contains(m.Subject, "_replay_"):
		case strings.HasPrefix(m.Subject, "$JS.API.CONSUMER.CREATE."):
			live++
			w.most = max(w.most, live)
		case strings.HasPrefix(m.Subject, "$JS.API.CONSUMER.DELETE."):
			live--
			replays--
		}
	}
}
