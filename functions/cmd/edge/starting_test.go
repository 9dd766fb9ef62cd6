package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tmaxmax/go-sse"

	"sluice/functions/stream"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestAClientThatDiesAtAStatusLivesThroughAStart has one that comes while the
// edge has no NATS yet. As an EventSource does, go-sse ends for good at any
// status but 200.
func TestAClientThatDiesAtAStatusLivesThroughAStart(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	url := server.URL()
	server.Stop()
	p := start(t, url, nil)

	ctx, cancel := context.WithCancel(natstest.Context(t))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/stream", http.NoBody)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	events, waits, ended := make(chan sse.Event, 64), make(chan time.Duration, 64), make(chan error, 1)
	client := &sse.Client{
		HTTPClient: &http.Client{Transport: transport},
		OnRetry:    func(_ error, wait time.Duration) { waits <- wait },
	}
	connection := client.NewConnection(request)
	connection.SubscribeToAll(func(e sse.Event) { events <- e })
	began := time.Now()
	go func() { ended <- connection.Connect() }()
	select {
	case busy := <-events: // the edge has waited for NATS in vain
		assert.GreaterOrEqual(t, time.Since(began), stream.DefaultStartTimeout)
		assert.Equal(t, "system", busy.Type)
		assert.Contains(t, busy.Data, `"type":"busy"`)
		assert.Contains(t, busy.Data, `"reason":"starting"`)
		assert.Empty(t, busy.LastEventID, "there is no position yet")
	case err := <-ended:
		require.FailNow(t, "the client has ended", "%v", err)
	}
	natstest.Receive(t, waits) // it is to come back
	cancel()
	natstest.Receive(t, ended)

	server.Restart()
	for {
		c := streamtest.Open(t, p.URL(), streamtest.Query{})
		b := c.Block(t)
		if b.System().Type == "open" {
			publish(t, server.JetStream(t), "a")
			assert.JSONEq(t, `{"n":1}`, c.Event(t).Data)
			break
		}
		require.EqualValues(t, "starting", b.System().Reason)
	}
	require.NoError(t, p.Stop())
}
