package stream_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestOnEndTellsOfTheStreamsEnd: the handler's return says nothing of it on the
// direct way.
func TestOnEndTellsOfTheStreamsEnd(t *testing.T) {
	for _, tt := range []struct {
		reason string
		end    func(r *rig, c *streamtest.Client)
	}{
		{"gone", func(_ *rig, c *streamtest.Client) { c.Close() }},
		{"shutdown", func(r *rig, _ *streamtest.Client) { r.edge.Shutdown(0, natstest.Patience) }},
		{"closed", func(r *rig, _ *streamtest.Client) { r.edge.Stop() }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			ways(t, func(t *testing.T, way func(*streamtest.Options)) {
				natstest.CheckGoroutines(t)
				var o streamtest.Options
				way(&o)
				r := newRig(t, way)
				m := behind(t, r.edge.Handler, nil)
				c := streamtest.Open(t, m.url, streamtest.Query{Topics: []string{"a"}})
				c.System(t, "open")
				if !o.Stream.ThroughHTTP {
					natstest.Receive(t, m.returned)
				}
				last := r.log.Publish("a", "b", "a", "a")
				c.Events(t, 3)
				require.Empty(t, m.ends, "it goes on")

				tt.end(r, c)
				want := stream.End{
					Reason: tt.reason, Sent: 3, LastID: event.ID{Epoch: r.log.Epoch, Seq: last.Seq}, Direct: !o.Stream.ThroughHTTP,
				}
				assert.Equal(t, want, natstest.Receive(t, m.ends))
				if o.Stream.ThroughHTTP {
					natstest.Receive(t, m.returned)
				}
				r.edge.Stop() // returns after all that could call it again
				assert.Empty(t, m.ends, "once")
			})
		})
	}
}

func TestOnEndTellsOfAnHTTP2Stream(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	m := behind(t, r.edge.Handler, nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: natstest.Patience}).Get(m.url + "/stream")
	require.NoError(t, err)
	require.Equal(t, 2, resp.ProtoMajor)
	c := streamtest.Over(resp)
	c.System(t, "open")
	r.log.Publish("a")
	c.Event(t)
	require.Empty(t, m.ends, "it goes on")
	c.Close()
	want := stream.End{Reason: "gone", Sent: 1, LastID: event.ID{Epoch: r.log.Epoch, Seq: 1}}
	assert.Equal(t, want, natstest.Receive(t, m.ends))
	natstest.Receive(t, m.returned)
	r.edge.Stop()
	assert.Empty(t, m.ends, "once")
}

func TestOnEndTellsOfARefusedRequest(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	m := behind(t, r.edge.Handler, nil)
	resp, err := (&http.Client{Timeout: natstest.Patience}).Get(m.url + "/stream?topic=..")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	assert.Equal(t, stream.End{Reason: "bad_topic"}, natstest.Receive(t, m.ends))
	natstest.Receive(t, m.returned)
	assert.Empty(t, m.ends, "once")
}

// TestOnEndTellsOfAClientThatLeavesBeforeItsStreamBegins: it asks for what the
// log does not have yet, so its request waits for the feed.
func TestOnEndTellsOfAClientThatLeavesBeforeItsStreamBegins(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Access.MaxConnections = 1 })
		r.log.Publish("a")
		require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 1 }, natstest.Patience, time.Millisecond)
		m := behind(t, r.edge.Handler, nil)
		conn, err := streamtest.Dial(m.url, streamtest.Query{LastID: r.log.ID(1000)})
		require.NoError(t, err)
		defer conn.Close()
		require.Eventually(t, func() bool { return r.edge.Feed.Count() == 1 }, natstest.Patience, time.Millisecond)
		require.NoError(t, conn.Close())
		assert.Equal(t, stream.End{Reason: "gone"}, natstest.Receive(t, m.ends))
		natstest.Receive(t, m.returned)
		assert.Empty(t, m.ends, "once")
		assert.Zero(t, r.edge.Feed.Count())
		streamtest.Open(t, m.url, streamtest.Query{}).System(t, "open") // it has its place
	})
}

func TestEachOnEndIsCalledTheInnerOneFirst(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		var m *middleware
		m = behind(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			inner := func(e stream.End) { m.ends <- stream.End{Reason: "inner " + e.Reason, LastID: e.LastID} }
			r.edge.Handler.ServeHTTP(w, req.WithContext(stream.OnEnd(req.Context(), inner)))
		}), nil)
		c := streamtest.Open(t, m.url, streamtest.Query{})
		c.System(t, "open")
		c.Close()
		inner, outer := natstest.Receive(t, m.ends), natstest.Receive(t, m.ends)
		assert.Equal(t, "inner gone", inner.Reason)
		assert.Equal(t, "gone", outer.Reason)
		assert.Equal(t, outer.LastID, inner.LastID)

		resp, err := (&http.Client{Timeout: natstest.Patience}).Get(m.url + "/stream?format=xml")
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, "inner bad_format", natstest.Receive(t, m.ends).Reason)
		assert.Equal(t, "bad_format", natstest.Receive(t, m.ends).Reason)
		r.edge.Stop()
		assert.Empty(t, m.ends, "once")
	})
}
