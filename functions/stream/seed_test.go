package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/source"
)

// The test cases that the description of the project lists, each over the
// running system.

// TestSeed_StreamManagerRegistration: client register/unregister.
func TestSeed_StreamManagerRegistration(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		require.Zero(t, r.edge.Feed.Count())
		first, second := r.live(t), r.live(t)
		assert.Equal(t, 2, r.edge.Feed.Count())
		for left, c := range []*streamtest.Client{second, first} {
			c.Close()
			require.Eventually(t, func() bool { return r.edge.Feed.Count() == 1-left }, time.Second, time.Millisecond,
				"a client that went is noticed within a second though nothing is published")
		}
	})
}

// TestSeed_BroadcastToMultipleClients: event fan-out to N clients.
func TestSeed_BroadcastToMultipleClients(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		var clients []*streamtest.Client
		for range 20 {
			clients = append(clients, r.live(t))
		}
		r.log.Publish("metric.cpu", "log.error", "alert")
		for _, c := range clients {
			for _, want := range r.log.Events {
				b := c.Event(t)
				assert.Equal(t, r.log.ID(want.Seq), b.ID)
				assert.Equal(t, want.Data, b.Data)
			}
		}
	})
}

// TestSeed_BackpressureHandling: slow client disconnection.
func TestSeed_BackpressureHandling(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.HeartbeatInterval = time.Second })
		r.log.Pad = 1000
		r.open(t, streamtest.Query{RecvBuf: 32 << 10}) // never reads
		healthy := r.live(t)
		for deadline := time.Now().Add(10 * time.Second); r.edge.Feed.Count() == 2; {
			require.True(t, time.Now().Before(deadline), "the slow client is not disconnected")
			r.log.PublishN(10, "a")
			for _, want := range r.log.Events[len(r.log.Events)-10:] {
				require.Equal(t, want.Data, healthy.Event(t).Data, "the other one is not concerned")
			}
		}
	})
}

// TestSeed_SSEFormat: SSE protocol formatting.
func TestSeed_SSEFormat(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		c := r.live(t)
		_, err := r.log.JS.Publish(t.Context(), "events.metric.cpu_usage", []byte(`{"type": "metric", "name": "cpu_usage", "value": 45.2}`))
		require.NoError(t, err)
		assertReads(t, "id: "+r.log.ID(1)+"\nevent: data\n"+
			"data: {\"type\": \"metric\", \"name\": \"cpu_usage\", \"value\": 45.2}\nretry: 5000\n\n", c.Response.Body)
		assert.NoError(t, uuid.Validate(r.log.ID(1)))
	})
}

// TestSeed_EventProducerLifecycle: producer start/stop.
func TestSeed_EventProducerLifecycle(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	c := r.live(t)
	p, err := publisher.New(t.Context(), publisher.Options{Conn: r.nats.Connect(t, nats.ReconnectBufSize(-1))})
	require.NoError(t, err)
	defer p.Close()

	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	var summary publisher.Summary
	run.Go(func() { summary, err = publisher.Run(ctx, p, source.Pace(source.NewDemo(source.DemoOptions{}), 200)) })
	for range 10 {
		var event struct{ Type string }
		require.NoError(t, json.Unmarshal([]byte(c.Event(t).Data), &event))
		assert.Contains(t, []string{"metric", "log", "alert"}, event.Type)
	}
	stop()
	natstest.Await(t, run.Wait)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, summary.Published, uint64(10))
	assert.Zero(t, summary.Failed)
	assert.Equal(t, summary.LastID, r.log.ID(summary.Published), "nothing is published after its end")
}

// TestSeed_HeartbeatProducer: heartbeat generation.
func TestSeed_HeartbeatProducer(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		const interval = 500 * time.Millisecond
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.HeartbeatInterval = interval })
		began := time.Now()
		c, beside := r.live(t), r.live(t)
		for i := 1; i <= 3; i++ {
			b := c.Block(t)
			require.Equal(t, "heartbeat", b.Type)
			beats := float64(time.Since(began)) / float64(interval)
			assert.Greater(t, beats, float64(i)-0.5, "too early")
			assert.Less(t, beats, float64(i)+40, "too late, also for a busy machine")
			var beat struct {
				Timestamp time.Time
				Clients   int
			}
			require.NoError(t, json.Unmarshal([]byte(b.Data), &beat))
			assert.Equal(t, 2, beat.Clients)
			assert.WithinDuration(t, time.Now(), beat.Timestamp, 10*time.Second)
		}
		assert.Equal(t, "heartbeat", beside.Block(t).Type)
	})
}

// TestSeed_ConcurrentClients: 100+ concurrent connections.
func TestSeed_ConcurrentClients(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.Pending.Msgs = 1000 })
		const clients, events = 200, 100
		journals, errs := make([]streamtest.Journal, clients), make([]error, clients)
		var connected, reading sync.WaitGroup
		connected.Add(clients)
		for i := range clients {
			reading.Go(func() {
				c, err := streamtest.Connect(r.edge.URL, streamtest.Query{})
				if err == nil {
					defer c.Close()
					err = journals[i].Read(c, func(streamtest.Block) bool { return true })
				}
				connected.Done()
				errs[i] = errors.Join(err, journals[i].Read(c, streamtest.At(events)))
			})
		}
		connected.Wait()
		assert.Equal(t, clients, r.edge.Feed.Count())
		r.log.PublishN(events, topics...)
		reading.Wait()
		for i := range clients {
			require.NoError(t, errs[i])
			require.NoError(t, journals[i].Compare(r.log.Events))
		}
	})
}

// TestSeed_ContextManager: resource cleanup.
func TestSeed_ContextManager(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, smallRing)
		r.log.PublishN(500, topics...)
		own := r.edge.Conn.NumSubscriptions()
		var clients []*streamtest.Client
		for i := range 30 {
			c := r.open(t, streamtest.Query{LastID: r.log.ID(uint64(10 * i)), Topics: topics[i%3:]})
			c.System(t, "open")
			c.Event(t)
			clients = append(clients, c)
		}
		for i, c := range clients {
			if i%2 == 0 {
				c.Close()
			} else {
				c.Reset()
			}
		}
		require.Eventually(t, func() bool { return r.edge.Feed.Count() == 0 }, natstest.Patience, time.Millisecond, "clients")
		require.Eventually(t, func() bool { return consumers(t, r.log) == 1 }, natstest.Patience, 5*time.Millisecond, "the feed's own consumer is left")
		require.Eventually(t, func() bool { return r.edge.Conn.NumSubscriptions() <= own+1 }, natstest.Patience, time.Millisecond, "subscriptions")

		r.edge.Stop()
		assert.Zero(t, consumers(t, r.log))
		assert.Zero(t, r.edge.Conn.NumSubscriptions())
	})
}

// consumers is how many the stream has.
func consumers(t *testing.T, log *streamtest.Log) int {
	t.Helper()
	s, err := log.JS.Stream(t.Context(), log.Stream)
	require.NoError(t, err)
	return s.CachedInfo().State.Consumers
}
