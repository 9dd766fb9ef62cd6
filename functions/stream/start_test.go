package stream_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func smallRing(o *streamtest.Options) { o.Feed.RingEvents = 16 }

// storeTime is when JetStream stored a sequence.
func storeTime(t *testing.T, log *streamtest.Log, seq uint64) time.Time {
	t.Helper()
	s, err := log.JS.Stream(t.Context(), log.Stream)
	require.NoError(t, err)
	m, err := s.GetMsg(t.Context(), seq)
	require.NoError(t, err)
	return m.Time
}

func purgeTo(t *testing.T, log *streamtest.Log, first uint64) {
	t.Helper()
	s, err := log.JS.Stream(t.Context(), log.Stream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(first)))
}

// TestWhereToStart has a log of 100 events of two topics in turn (a has the odd
// sequences), of which the ring keeps the newest 16 and JetStream all behind
// 20.
func TestWhereToStart(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t))
		log.PublishN(49, "a", "b")
		<-time.After(600 * time.Millisecond) // so that a duration can fall between the two
		log.PublishN(51, "b", "a")
		purgeTo(t, log, 21)
		edge := streamtest.Start(t, ns.URL(), way, smallRing)
		at := func(seq uint64) string { return storeTime(t, log, seq).UTC().Format(time.RFC3339Nano) }
		zoned := func(seq uint64) string {
			return storeTime(t, log, seq).In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano)
		}
		unix := func(after time.Duration) string { return strconv.FormatInt(time.Now().Add(after).Unix(), 10) }
		ago := func(seq uint64) url.Values {
			return url.Values{"since": {(time.Since(storeTime(t, log, seq)) + 300*time.Millisecond).String()}, "last": {"1"}}
		}
		params := func(pairs ...string) (v url.Values) {
			v = url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v
		}

		clients := map[*streamtest.Client][]string{}
		for _, tt := range []struct {
			name    string
			query   streamtest.Query
			resumed string
			reason  wire.Reason
			after   uint64 // sequence of the open block
		}{
			{"live", streamtest.Query{}, "none", "", 100},
			{"an empty cursor is absent", streamtest.Query{Params: params("last_event_id", "", "since", "", "last", "")}, "none", "", 100},
			{"in the ring", streamtest.Query{LastID: log.ID(90)}, "complete", "", 90},
			{"at the ring's floor", streamtest.Query{LastID: log.ID(84)}, "complete", "", 84},
			{"just below the ring", streamtest.Query{LastID: log.ID(83)}, "complete", "", 83},
			{"the tail", streamtest.Query{LastID: log.ID(100)}, "complete", "", 100},
			{"before the oldest kept event", streamtest.Query{LastID: log.ID(20)}, "complete", "", 20},
			{"in upper case", streamtest.Query{LastID: strings.ToUpper(log.ID(99))}, "complete", "", 99},
			{"in the URL", streamtest.Query{Params: params("last_event_id", log.ID(30))}, "complete", "", 30},
			{"the header goes before the URL", streamtest.Query{LastID: log.ID(95), Params: params("last_event_id", log.ID(30))}, "complete", "", 95},
			{"as event-source-polyfill sends it", streamtest.Query{Params: params("lastEventId", log.ID(30), "last", "3")}, "complete", "", 30},
			{"as a header's name with hyphens", streamtest.Query{Params: params("last-event-id", log.ID(30), "since", "1h")}, "complete", "", 30},
			{"as the header's name", streamtest.Query{Params: params("Last-Event-ID", log.ID(30))}, "complete", "", 30},
			{"what a library adds goes before the page's own", streamtest.Query{Params: params("last_event_id", log.ID(30), "lastEventId", log.ID(95))}, "complete", "", 95},
			{"what a library adds goes before what it added", streamtest.Query{Params: url.Values{"lastEventId": {log.ID(30), log.ID(95), ""}}}, "complete", "", 95},
			{"the header goes before what a library adds", streamtest.Query{LastID: log.ID(95), Params: params("lastEventId", log.ID(30))}, "complete", "", 95},
			{"a bad one of a library too", streamtest.Query{Params: params("lastEventId", "-1", "last_event_id", log.ID(30), "last", "3")}, "gap", "unknown", 100},
			{"an empty one is absent", streamtest.Query{Params: params("lastEventId", "", "last_event_id", log.ID(30))}, "complete", "", 30},
			{"a bad header too", streamtest.Query{LastID: "-1", Params: params("last_event_id", log.ID(30))}, "gap", "unknown", 100},
			{"the cursor goes before since and last", streamtest.Query{Params: params("last_event_id", log.ID(95), "since", "1h", "last", "3")}, "complete", "", 95},
			{"expired", streamtest.Query{LastID: log.ID(19)}, "gap", "expired", 20},
			{"expired from the start", streamtest.Query{LastID: log.ID(0)}, "gap", "expired", 20},
			{"recreated", streamtest.Query{LastID: event.ID{Epoch: log.Epoch - 1, Seq: 90}.String()}, "gap", "recreated", 20},
			{"a later log's", streamtest.Query{LastID: event.ID{Epoch: log.Epoch + 1, Seq: 90}.String()}, "gap", "recreated", 20},
			{"unknown", streamtest.Query{LastID: uuid.NewString()}, "gap", "unknown", 100},
			{"from the start", streamtest.Query{Params: params("from", "start")}, "complete", "", 20},
			{"from the start of one topic", streamtest.Query{Topics: []string{"a"}, Params: params("from", "start")}, "complete", "", 20},
			{"from the start goes before last", streamtest.Query{Params: params("from", "start", "last", "3")}, "complete", "", 20},
			{"since goes before from the start", streamtest.Query{Params: params("from", "start", "since", "0s")}, "complete", "", 100},
			{"the cursor goes before from the start", streamtest.Query{LastID: log.ID(95), Params: params("from", "start")}, "complete", "", 95},
			{"last", streamtest.Query{Params: params("last", "5")}, "none", "", 95},
			{"last of one topic", streamtest.Query{Topics: []string{"a"}, Params: params("last", "3")}, "none", "", 94},
			{"last has no more than the ring", streamtest.Query{Params: params("last", "50")}, "none", "", 84},
			{"last of nothing", streamtest.Query{Topics: []string{"c"}, Params: params("last", "5")}, "none", "", 100},
			{"since a time in the log", streamtest.Query{Params: params("since", at(50))}, "complete", "", 49},
			{"since a time in another zone, its + sent as it is", streamtest.Query{Params: params("since", strings.ReplaceAll(zoned(50), "+", " "))}, "complete", "", 49},
			{"since a time in another zone", streamtest.Query{Params: params("since", zoned(50))}, "complete", "", 49},
			{"since a time in lower case", streamtest.Query{Params: params("since", strings.ToLower(at(50)))}, "complete", "", 49},
			{"since days before the log's start", streamtest.Query{Params: params("since", "7d")}, "gap", "expired", 20},
			{"since days and hours", streamtest.Query{Params: params("since", "1d12h")}, "gap", "expired", 20},
			{"since Unix seconds before the log's start", streamtest.Query{Params: params("since", unix(-time.Hour))}, "gap", "expired", 20},
			{"since Unix seconds to come", streamtest.Query{Params: params("since", unix(time.Hour))}, "complete", "", 100},
			{"since a duration", streamtest.Query{}, "complete", "", 49},
			{"since a time in the ring", streamtest.Query{Params: params("since", at(95))}, "complete", "", before(t, log, 95)},
			{"since before the log's start", streamtest.Query{Params: params("since", "1h")}, "gap", "expired", 20},
			{"since now", streamtest.Query{Params: params("since", "0s")}, "complete", "", 100},
			{"since the future", streamtest.Query{Params: params("since", "2200-01-01T00:00:00Z")}, "complete", "", 100},
			{"since a far future", streamtest.Query{Params: params("since", "2611-01-01T00:00:00Z")}, "complete", "", 100},
			{"since the farthest future", streamtest.Query{Params: params("since", "9999-12-31T23:59:59.999999999+00:00")}, "complete", "", 100},
		} {
			if tt.name == "since a duration" {
				tt.query.Params = ago(50)
			}
			c := streamtest.Open(t, edge.URL, tt.query)
			clients[c] = tt.query.Topics
			t.Run(tt.name, func(t *testing.T) {
				open := c.System(t, "open")
				s := open.System()
				assert.Equal(t, tt.resumed, s.Resumed)
				assert.Equal(t, tt.reason, s.Reason)
				assert.Equal(t, log.ID(tt.after), open.ID)
				if tt.resumed == "gap" {
					assert.Equal(t, log.ID(tt.after+1), s.First, "just behind the id")
				}
				for _, want := range log.Match(tt.after, tt.query.Topics...) {
					b := c.Event(t)
					require.Equal(t, log.ID(want.Seq), b.ID)
					require.Equal(t, want.Data, b.Data)
				}
			})
		}
		log.Publish("a", "b", "c")
		for c, topics := range clients {
			assert.Equal(t, log.Match(100, topics...)[0].Data, c.Event(t).Data, "live goes on")
		}
	})
}

// before is the sequence before the first one stored when seq was.
func before(t *testing.T, log *streamtest.Log, seq uint64) uint64 {
	t.Helper()
	at := storeTime(t, log, seq)
	for seq--; storeTime(t, log, seq).Equal(at); seq-- {
	}
	return seq
}
