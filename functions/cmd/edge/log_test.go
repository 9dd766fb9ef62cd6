package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func testStream(t *testing.T) {
	server := natstest.Start(t)
	e := edgeOn(t, server.URL(), "STREAM", "ORDERS")
	e.WaitReady()
	js := server.JetStream(t)
	_, err := js.Stream(t.Context(), "ORDERS")
	require.NoError(t, err)
	_, err = js.Stream(t.Context(), event.DefaultStream)
	require.Error(t, err)
	c := e.live()
	publish(t, js, "a")
	assert.JSONEq(t, `{"n":1}`, c.Event(t).Data)
	assert.Contains(t, e.Do(http.MethodGet, "/health").Body, `"name": "ORDERS"`)
}

// testMaxEventBytes: what is in the log already may be larger.
func testMaxEventBytes(t *testing.T) {
	r := newRig(t)
	c := r.edge(t, "MAX_EVENT_BYTES", "100").live()
	r.log.Pad = 101
	large := r.log.Publish("a")
	r.log.Pad = 100
	small := r.log.Publish("a")
	blocks := c.Events(t, 2)
	assert.NotContains(t, blocks[0].Data, large.Data)
	assert.Contains(t, blocks[0].Data, "101")
	assert.Equal(t, small.Data, blocks[1].Data)
}

func testFeedFilter(t *testing.T) {
	r := newRig(t)
	e := r.edge(t, "FEED_FILTER", "events.metric.>,events.alert")
	refused := e.Do(http.MethodGet, "/stream?topic=log.error")
	assert.Equal(t, http.StatusNotFound, refused.Status)
	assert.Contains(t, refused.Body, "topic_not_served")
	c := e.live()
	r.log.Publish("log.error")
	assert.Equal(t, r.log.Publish("metric.cpu").Data, c.Event(t).Data)
	assert.Equal(t, r.log.Publish("alert").Data, c.Event(t).Data)
}

// testStreamReplicas asks a NATS for them that has one server and refuses.
func testStreamReplicas(t *testing.T) {
	server := natstest.Start(t)
	conn := server.Connect(t)
	asked, err := conn.SubscribeSync("$JS.API.STREAM.CREATE.*")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	e := edgeOn(t, server.URL(), "STREAM_REPLICAS", "3")
	assert.Contains(t, e.Logged("the event log cannot be used yet, trying on")["err"], "STREAM_REPLICAS")
	missing := map[string]bool{event.DefaultStream: true, "KV_" + event.ProducersBucket: true}
	for len(missing) > 0 {
		m, err := asked.NextMsg(natstest.Patience)
		require.NoError(t, err)
		assert.Contains(t, string(m.Data), `"num_replicas":3`, m.Subject)
		delete(missing, m.Subject[strings.LastIndex(m.Subject, ".")+1:])
	}
}

// testCreateStream: the edge asks for what is missing, again and again, and creates
// neither the stream nor the bucket.
func testCreateStream(t *testing.T) {
	server := natstest.Start(t)
	conn := server.Connect(t)
	asked, err := conn.SubscribeSync("$JS.API.STREAM.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	e := edgeOn(t, server.URL(), "CREATE_STREAM", "false")
	assert.Contains(t, e.Logged("the event log cannot be used yet, trying on")["err"], "CREATE_STREAM=true")
	// One that creates the bucket has looked for it twice before.
	for left := map[string]int{event.DefaultStream: 2, "KV_" + event.ProducersBucket: 3}; len(left) > 0; {
		m, err := asked.NextMsg(natstest.Patience)
		require.NoError(t, err)
		name, looks := strings.CutPrefix(m.Subject, "$JS.API.STREAM.INFO.")
		require.True(t, looks, m.Subject)
		if left[name]--; left[name] <= 0 {
			delete(left, name)
		}
	}
}

// created is the configuration of the stream that an edge with a setting makes.
func created(t *testing.T, name, value string) jetstream.StreamConfig {
	t.Helper()
	server := natstest.Start(t)
	edgeOn(t, server.URL(), name, value).WaitReady()
	s, err := server.JetStream(t).Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	return s.CachedInfo().Config
}

func testStreamMaxAge(t *testing.T) {
	assert.Equal(t, time.Hour, created(t, "STREAM_MAX_AGE", "1h").MaxAge)
}

func testStreamMaxBytes(t *testing.T) {
	assert.EqualValues(t, 1<<20, created(t, "STREAM_MAX_BYTES", "1048576").MaxBytes)
}

func testStreamDuplicates(t *testing.T) {
	assert.Equal(t, 3*time.Minute, created(t, "STREAM_DUPLICATES", "3m").Duplicates)
}
