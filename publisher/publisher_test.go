package publisher_test

import (
	"context"
	"strings"
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

func TestPublisherStoresEventsInOrderAndAccountsForThem(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	p := start(t, srv)
	assert.Equal(t, publisher.Summary{}, p.Summary())

	for n := 1; n <= 2000; n++ {
		require.NoError(t, p.Publish(t.Context(), numbered(n)))
	}
	require.NoError(t, p.Publish(t.Context(), publisher.Event{Topic: "alert.disk", Type: "alert", MsgID: "mine", Data: []byte(`{"a": 1}`)}))
	require.NoError(t, p.Flush(t.Context()))

	js := srv.JetStream(t)
	msgs := stored(t, js)
	assert.Equal(t, append(numbers(2000), `{"a": 1}`), payloads(msgs))
	assert.Equal(t, "events.metric.m1", msgs[0].Subject())
	assert.Empty(t, msgs[0].Headers().Get(event.HeaderType), "data is the default and not written")
	assert.NotEmpty(t, msgs[0].Headers().Get(jetstream.MsgIDHeader))
	last := msgs[2000]
	assert.Equal(t, "events.alert.disk", last.Subject())
	assert.Equal(t, "alert", last.Headers().Get(event.HeaderType))
	assert.Equal(t, "mine", last.Headers().Get(jetstream.MsgIDHeader))
	assert.Equal(t, publisher.Summary{Published: 2001, FirstID: idOf(t, js, 1), LastID: idOf(t, js, 2001)}, p.Summary())
}

func TestPublisherCountsWhatTheLogAlreadyHolds(t *testing.T) {
	srv := natstest.Start(t)
	first := start(t, srv)
	require.NoError(t, first.Publish(t.Context(), numbered(1)))
	twice := publisher.Event{Topic: "a", MsgID: "order-7", Data: []byte("2")}
	require.NoError(t, first.Publish(t.Context(), twice))
	require.NoError(t, first.Flush(t.Context()))

	second := start(t, srv)
	require.NoError(t, second.Publish(t.Context(), twice))
	require.NoError(t, second.Flush(t.Context()))

	js := srv.JetStream(t)
	assert.Len(t, stored(t, js), 2)
	assert.Equal(t, publisher.Summary{Duplicates: 1, FirstID: idOf(t, js, 2), LastID: idOf(t, js, 2)}, second.Summary())
}

func TestPublisherRefusesOneEventAndGoesOn(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{MaxMsgBytes: 2000}))
	require.NoError(t, err)
	p := start(t, srv, func(o *publisher.Options) { o.MaxEventBytes = 10_000 })

	for _, tt := range []struct {
		name string
		give publisher.Event
		say  string
	}{
		{"no topic", publisher.Event{Data: []byte("1")}, "invalid topic"},
		{"a wildcard topic", publisher.Event{Topic: "a.>", Data: []byte("1")}, "invalid topic"},
		{"a reserved type", publisher.Event{Topic: "a", Type: "heartbeat", Data: []byte("1")}, "invalid event type"},
		{"no data", publisher.Event{Topic: "a"}, "JSON"},
		{"data that is not JSON", publisher.Event{Topic: "a", Data: []byte("{")}, "JSON"},
		{"two JSON values", publisher.Event{Topic: "a", Data: []byte("1 2")}, "JSON"},
		{"data that is not UTF-8", publisher.Event{Topic: "a", Data: []byte("\"\xff\"")}, "UTF-8"},
		{"too much data", publisher.Event{Topic: "a", Data: repeat("x", 9_999)}, "MAX_EVENT_BYTES"},
		{"a line end that makes it too much", publisher.Event{Topic: "a", Data: append([]byte("\n"), repeat("x", 9_992)...)}, "a line end counts 7"},
		{"a message id with a line break", publisher.Event{Topic: "a", MsgID: "a\nb", Data: []byte("1")}, "control character"},
		{"a message id with a space at the end", publisher.Event{Topic: "a", MsgID: "a ", Data: []byte("1")}, "space"},
		{"a long message id", publisher.Event{Topic: "a", MsgID: strings.Repeat("x", 257), Data: []byte("1")}, "257"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := p.Summary().Failed
			err := p.Publish(t.Context(), tt.give)
			assert.ErrorIs(t, err, publisher.ErrInvalid)
			assert.ErrorContains(t, err, tt.say)
			assert.Equal(t, before+1, p.Summary().Failed)
		})
	}
	t.Run("one that only the log refuses", func(t *testing.T) {
		require.NoError(t, p.Publish(t.Context(), publisher.Event{Topic: "a", Data: repeat("x", 9_000)}))
		require.NoError(t, p.Publish(t.Context(), numbered(1)))
		assert.ErrorIs(t, p.Flush(t.Context()), publisher.ErrFailed)
		assert.Equal(t, numbers(1), payloads(stored(t, js)))
		assert.Equal(t, uint64(13), p.Summary().Failed)
		assert.Equal(t, uint64(1), p.Summary().Published)
	})
}

func TestPublisherBlocksAtMaxPending(t *testing.T) {
	srv := natstest.Start(t)
	p := start(t, srv, func(o *publisher.Options) { o.MaxPending = 3 })
	srv.Stop()
	for n := range 3 {
		require.NoError(t, p.Publish(t.Context(), numbered(n+1)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, p.Publish(ctx, numbered(4)), context.DeadlineExceeded)
	assert.ErrorIs(t, p.Flush(ctx), context.DeadlineExceeded)

	srv.Restart()
	assert.ErrorIs(t, p.Flush(t.Context()), publisher.ErrFailed, "the fourth")
	assert.Equal(t, uint64(3), p.Summary().Published)
	assert.Equal(t, uint64(1), p.Summary().Failed)
}

func TestPublisherGivesUpAfterItsTimeout(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	p := start(t, srv, func(o *publisher.Options) { o.Timeout = 200 * time.Millisecond })
	require.NoError(t, p.Publish(t.Context(), numbered(1)))
	require.NoError(t, p.Flush(t.Context()))
	srv.Stop()
	require.NoError(t, p.Publish(t.Context(), numbered(2)))

	err := p.Flush(t.Context())
	assert.ErrorIs(t, err, publisher.ErrFailed)
	assert.ErrorIs(t, err, publisher.ErrGaveUp)
	assert.ErrorContains(t, err, "PUBLISH_TIMEOUT")
	assert.ErrorIs(t, p.Publish(t.Context(), numbered(3)), publisher.ErrGaveUp)
	assert.Equal(t, uint64(1), p.Summary().Published)
	assert.Equal(t, uint64(2), p.Summary().Failed)
}

func TestPublisherEndsWithItsConnection(t *testing.T) {
	srv := natstest.Start(t)
	var conn *nats.Conn
	p := start(t, srv, func(o *publisher.Options) { conn = o.Conn })
	conn.Close()
	require.NoError(t, p.Publish(t.Context(), numbered(1)))
	assert.ErrorIs(t, p.Flush(t.Context()), nats.ErrConnectionClosed)
}

func TestPublisherCloseFailsWhatIsPending(t *testing.T) {
	srv := natstest.Start(t)
	p := start(t, srv)
	srv.Stop()
	require.NoError(t, p.Publish(t.Context(), numbered(1)))
	p.Close()
	assert.ErrorIs(t, p.Flush(t.Context()), publisher.ErrClosed)
	assert.ErrorIs(t, p.Publish(t.Context(), numbered(2)), publisher.ErrClosed)
	assert.Equal(t, publisher.Summary{Failed: 2}, p.Summary())
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	srv := natstest.Start(t)
	for _, tt := range []struct {
		name   string
		change func(*publisher.Options)
		say    string
	}{
		{"the connection", func(o *publisher.Options) { o.Conn = nil }, "Conn"},
		{"the stream", func(o *publisher.Options) { o.Create = false }, "CREATE_STREAM"},
		{"a good stream name", func(o *publisher.Options) { o.Stream = "a.b" }, "invalid stream name"},
		{"a good producer name", func(o *publisher.Options) { o.Name = "a.b" }, "producer name"},
		{"room for the payload", func(o *publisher.Options) { o.MaxEventBytes = 1 << 20 }, "MAX_EVENT_BYTES"},
		{"a bound", func(o *publisher.Options) { o.MaxPending = -1 }, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := publisher.New(t.Context(), options(t, srv, tt.change))
			assert.ErrorContains(t, err, tt.say)
		})
	}
}

func TestNewWaitsForJetStreamUntilItsTimeout(t *testing.T) {
	srv := natstest.Start(t)
	o := options(t, srv, func(o *publisher.Options) { o.Timeout = 200 * time.Millisecond })
	srv.Stop()
	_, err := publisher.New(t.Context(), o)
	assert.ErrorContains(t, err, "EVENTS")
	srv.Restart()
	p, err := publisher.New(t.Context(), o)
	require.NoError(t, err)
	p.Close()
}

func BenchmarkPublish(b *testing.B) {
	p := start(b, natstest.Start(b), func(o *publisher.Options) { o.Logger = nil })
	e := publisher.Event{Topic: "metric.cpu_usage", Data: []byte(`{"type":"metric","name":"cpu_usage","value":45.2}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Publish(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, p.Flush(b.Context()))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
