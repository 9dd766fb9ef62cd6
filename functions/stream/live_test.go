package stream_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

var topics = []string{"metric.cpu", "metric.mem", "log.error", "log.app.error", "alert"}

func TestEachClientGetsItsTopicsInOrder(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.Pending.Msgs = 1000 })
		filters := [][]string{
			nil, {">"}, {"metric.*"}, {"log.>"}, {"*.error"}, {"alert", "metric.mem"}, {"metric.>", "metric.cpu", "*.cpu"}, {"nobody.publishes"},
		}
		var clients []*streamtest.Client
		for _, f := range filters {
			clients = append(clients, r.live(t, f...), r.live(t, f...))
		}
		r.log.PublishN(500, topics...)
		r.log.Publish("alert", "nobody.publishes")
		for i, c := range clients {
			f := filters[i/2]
			var j streamtest.Journal
			want := r.log.Match(0, f...)
			require.NoError(t, j.Read(c, streamtest.At(want[len(want)-1].Seq)), "topics %v", f)
			assert.NoError(t, j.Compare(want), "topics %v", f)
		}
	})
}

func TestCloudEvents(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		plain := r.live(t)
		c := r.open(t, streamtest.Query{Params: url.Values{"format": {"cloudevents"}}})
		c.System(t, "open")
		began := time.Now().Truncate(time.Millisecond)
		e := r.log.Publish("metric.cpu")

		var envelope struct {
			SpecVersion, ID, Source, Type, Subject, DataContentType string
			Time                                                    time.Time
			Data                                                    json.RawMessage
		}
		b := c.Event(t)
		require.NoError(t, json.Unmarshal([]byte(b.Data), &envelope))
		assert.WithinRange(t, envelope.Time, began, time.Now())
		envelope.Time = time.Time{}
		assert.Equal(t, "1.0 "+r.log.ID(e.Seq)+" /EVENTS data metric.cpu application/json "+e.Data,
			fmt.Sprint(envelope.SpecVersion, " ", envelope.ID, " ", envelope.Source, " ", envelope.Type, " ", envelope.Subject,
				" ", envelope.DataContentType, " ", string(envelope.Data)))
		assert.Equal(t, e.Data, plain.Event(t).Data, "a client beside it is not concerned")
	})
}

func TestHeartbeatsCarryThePosition(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) {
			o.Feed.HeartbeatInterval = 64 * time.Millisecond
			o.Feed.Clients = func() int { return 7 }
		})
		c := r.live(t, "rare")
		began := time.Now()
		r.log.PublishN(20, "busy")
		rare := r.log.Publish("rare")
		r.log.PublishN(20, "busy")

		var seen []string
		for {
			b := c.Block(t)
			if b.Type != "heartbeat" {
				seen = append(seen, b.Data)
				continue
			}
			assert.Equal(t, b.Seq() >= rare.Seq, len(seen) == 1, "a heartbeat at %d came before event %d", b.Seq(), rare.Seq)
			var beat struct {
				Timestamp time.Time
				Clients   int
			}
			require.NoError(t, json.Unmarshal([]byte(b.Data), &beat))
			assert.Equal(t, 7, beat.Clients)
			assert.WithinRange(t, beat.Timestamp, began.Add(-time.Second), time.Now())
			if b.Seq() == r.log.Last().Seq {
				break // a client on a rare topic resumes from now
			}
		}
		assert.Equal(t, []string{rare.Data}, seen)

		again := r.open(t, streamtest.Query{Topics: []string{"rare"}, LastID: c.LastID()})
		assert.Equal(t, "complete", again.System(t, "open").System().Resumed)
		next := r.log.Publish("rare")
		assert.Equal(t, next.Data, again.Event(t).Data)
	})
}

func TestMaxConnections(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Access.MaxConnections = 2 })
		first := r.live(t)
		r.live(t)

		c, err := streamtest.Connect(r.edge.URL, streamtest.Query{Params: status})
		require.NoError(t, err)
		defer c.Close()
		assert.Equal(t, http.StatusServiceUnavailable, c.Response.StatusCode)
		retry, err := strconv.Atoi(c.Response.Header.Get("Retry-After"))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, retry, 1)
		assertError(t, "too_many_connections", c.Response)

		cursor := r.log.ID(0)
		busy := r.open(t, streamtest.Query{LastID: cursor, Params: url.Values{"busy": {"inband"}}})
		b := busy.System(t, "busy")
		assert.Equal(t, cursor, b.ID, "the request's own cursor")
		ms, err := strconv.Atoi(b.Retry)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, ms, 5000, "an event's is the least")
		_, err = busy.Next()
		assert.ErrorIs(t, err, io.EOF)

		first.Close()
		require.Eventually(t, func() bool { return r.edge.Feed.Count() < 2 }, natstest.Patience, time.Millisecond)
		r.live(t)
	})
}

func assertError(t *testing.T, code string, resp *http.Response) {
	t.Helper()
	var e struct{ Error, Message string }
	assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
	assert.Equal(t, code, e.Error)
	assert.NotEmpty(t, e.Message)
}

func TestMaxAge(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Stream.MaxAge = 200 * time.Millisecond })
		began := time.Now()
		c := r.live(t)
		e := r.log.Publish("a")
		assert.Equal(t, e.Data, c.Event(t).Data)
		b := c.System(t, "drain")
		assert.GreaterOrEqual(t, time.Since(began), 190*time.Millisecond, "less 5 %")
		assert.Equal(t, "max_age", string(b.System().Reason))
		assert.Equal(t, r.log.ID(e.Seq), b.ID)
		assert.NotEmpty(t, b.Retry)
		_, err := c.Next()
		assert.ErrorIs(t, err, io.EOF, "a proper end")
	})
}

func TestFeedFilter(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.Filter = []string{"metric.>", "log.*"} })
		all := r.live(t)
		some := r.live(t, "metric.cpu")
		r.log.Publish("alert", "metric.cpu", "log.a.b", "log.a", "metric.mem", "metric.cpu")
		for _, e := range r.log.Match(0, "metric.>", "log.*") {
			assert.Equal(t, e.Data, all.Event(t).Data)
		}
		for _, e := range r.log.Match(0, "metric.cpu") {
			assert.Equal(t, e.Data, some.Event(t).Data)
		}
		for _, outside := range []string{"alert", ">", "log.>", "*.cpu"} {
			c, err := streamtest.Connect(r.edge.URL, streamtest.Query{Topics: []string{"metric.cpu", outside}})
			require.NoError(t, err)
			assert.Equal(t, http.StatusNotFound, c.Response.StatusCode, outside)
			assertError(t, "topic_not_served", c.Response)
			c.Close()
		}
	})
}

// TestPositionGoesOnWithoutEvents: what the filter leaves out, and what was
// deleted at the log's end, is behind the position all the same.
func TestPositionGoesOnWithoutEvents(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t))
		log.Publish("metric.cpu")
		log.PublishN(30, "log.error")
		s, err := log.JS.Stream(t.Context(), log.Stream)
		require.NoError(t, err)
		for seq := uint64(28); seq <= 31; seq++ {
			require.NoError(t, s.DeleteMsg(t.Context(), seq))
		}
		heartbeats := func(o *streamtest.Options) { o.Feed.HeartbeatInterval = 64 * time.Millisecond }
		whole := streamtest.Start(t, ns.URL(), way, heartbeats)
		part := streamtest.Start(t, ns.URL(), way, heartbeats, func(o *streamtest.Options) { o.Feed.Filter = []string{"metric.*"} })
		var clients []*streamtest.Client
		for _, edge := range []*streamtest.Edge{whole, part} {
			assert.EqualValues(t, 31, edge.Feed.Position().Seq, "ready means that all is read")
			assert.Zero(t, edge.Feed.Status().Lag)
			c := streamtest.Open(t, edge.URL, streamtest.Query{Topics: []string{"metric.*"}})
			assert.Equal(t, log.ID(31), c.System(t, "open").ID)
			clients = append(clients, c)
		}
		other := log.Publish("log.error")
		for _, c := range clients {
			for b := c.Block(t); b.Seq() < other.Seq; b = c.Block(t) {
				require.Equal(t, "heartbeat", b.Type)
			}
		}
		own := log.Publish("metric.cpu")
		for _, c := range clients {
			assert.Equal(t, own.Data, c.Event(t).Data)
		}
	})
}

func TestReadyMeansTheNewestEventsAreInMemory(t *testing.T) {
	natstest.CheckGoroutines(t)
	ns := natstest.Start(t)
	log := streamtest.NewLog(t, ns.JetStream(t))
	log.PublishN(2000, "a")
	e := streamtest.Start(t, ns.URL())
	c := streamtest.Open(t, e.URL, streamtest.Query{Params: url.Values{"last": {"3"}}})
	assert.Equal(t, log.ID(1997), c.System(t, "open").ID)
	for _, want := range log.Match(1997) {
		assert.Equal(t, want.Data, c.Event(t).Data)
	}
}
