package publisher_test

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

// answering stands in for the stream that stores events.metric.>: answer gives
// the reply to an event, "" for none.
func answering(t *testing.T, srv *natstest.Server, answer func(*nats.Msg) string) {
	t.Helper()
	cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{})
	cfg.Subjects = []string{"events.other.>"} // so that events.metric.> is free
	_, err := event.EnsureStream(t.Context(), srv.JetStream(t), cfg)
	require.NoError(t, err)
	nc := srv.Connect(t)
	_, err = nc.Subscribe("events.metric.>", func(m *nats.Msg) {
		if text := answer(m); text != "" {
			assert.NoError(t, m.Respond([]byte(text)))
		}
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
}

// stuck answers for a stream whose leader keeps the first message id it sees
// in process: what nats-server does after some changes of leader, which no
// test can bring about at will. It returns the ids that were accepted.
func stuck(t *testing.T, srv *natstest.Server) func() []string {
	t.Helper()
	var mu sync.Mutex
	var first string
	var accepted []string
	answering(t, srv, func(m *nats.Msg) string {
		mu.Lock()
		defer mu.Unlock()
		id := m.Header.Get(jetstream.MsgIDHeader)
		if first == "" {
			first = id
		}
		if id == first {
			return `{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"stream":"EVENTS","seq":0}`
		}
		accepted = append(accepted, id)
		return `{"stream":"EVENTS","seq":7}`
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return accepted
	}
}

func TestPublisherOutlivesAStuckMessageID(t *testing.T) {
	short := func(o *publisher.Options) { o.ConflictTimeout = 100 * time.Millisecond }
	t.Run("by another one of its own", func(t *testing.T) {
		srv := natstest.Start(t)
		accepted := stuck(t, srv)
		p := start(t, srv, short)
		require.NoError(t, p.Publish(t.Context(), numbered(1)))
		require.NoError(t, p.Flush(t.Context()))
		assert.Len(t, accepted(), 1)
		assert.Equal(t, uint64(1), p.Summary().Published)
	})
	t.Run("by failing the event whose id is the caller's", func(t *testing.T) {
		srv := natstest.Start(t)
		accepted := stuck(t, srv)
		p := start(t, srv, short)
		for _, id := range []string{"job:1", "job:2"} {
			e := numbered(1)
			e.MsgID = id
			require.NoError(t, p.Publish(t.Context(), e))
		}
		assert.ErrorContains(t, p.Flush(t.Context()), "duplicate window")
		assert.Equal(t, []string{"job:2"}, accepted())
		assert.Equal(t, uint64(1), p.Summary().Failed)
		assert.Equal(t, uint64(1), p.Summary().Published)
	})
}
