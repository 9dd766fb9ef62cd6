//go:build linux

package peer_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/peer"
	"sluice/natsembed/natstest"
)

func TestAServerThatDoesNotStartTellsWhy(t *testing.T) {
	_, err := peer.StartSluice(t.Context(), "/bin/false", nil)
	assert.ErrorContains(t, err, "/bin/false ended")
	_, err = peer.StartSluice(t.Context(), "/no/such/file", nil)
	assert.ErrorContains(t, err, "no such file")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = peer.StartSluice(ctx, "/bin/cat", nil)
	assert.Error(t, err)
}

func TestAttachedSluiceMustBeReady(t *testing.T) {
	ready := http.StatusServiceUnavailable
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/readyz", r.URL.Path)
		w.WriteHeader(ready)
	}))
	defer s.Close()
	for _, url := range []string{"", "localhost:8000", "https://127.0.0.1:1", "http://127.0.0.1", s.URL} {
		_, err := peer.AttachSluice(natstest.Context(t), url, "nats://127.0.0.1:1", 0)
		assert.ErrorContains(t, err, "--url", url)
	}
	ready = http.StatusOK
	server, err := peer.AttachSluice(natstest.Context(t), s.URL, "nats://127.0.0.1:1", 0)
	require.NoError(t, err)
	assert.Equal(t, netip.MustParseAddrPort(s.Listener.Addr().String()), server.Addr)
	assert.Equal(t, "/stream?busy=status&topic=a.b", server.Path("a.b"))
	assert.NoError(t, server.Stop(), "what was not started here is not stopped")
	_, err = server.Publisher(t.Context(), 1)
	assert.ErrorContains(t, err, "nats://127.0.0.1:1")
}

func TestRequestsToJetStreamAreCounted(t *testing.T) {
	server := natstest.Start(t)
	requests, err := peer.CountRequests(server.URL())
	require.NoError(t, err)
	defer requests.Close()
	conn, err := nats.Connect(server.URL())
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	ctx := natstest.Context(t)
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	for range 3 {
		_, err = stream.Info(ctx)
		require.NoError(t, err)
	}
	_, err = js.Publish(ctx, "s", nil) // not a request to the API
	require.NoError(t, err)
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{})
	require.NoError(t, err)
	_, err = consumer.Next()
	require.NoError(t, err)
	want := map[string]int{"STREAM.CREATE": 1, "STREAM.INFO": 3, "CONSUMER.CREATE": 1, "CONSUMER.MSG.NEXT": 1}
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		counts, err := requests.Counts()
		require.NoError(c, err)
		assert.Equal(c, want, counts)
	}, 10*time.Second, 10*time.Millisecond)
}
