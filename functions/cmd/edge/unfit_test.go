package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestAStreamThatCannotBeTheLogIsToldAndNeverReady: whoever looks at /readyz or
// at the log is told which setting names it and what to change, and nothing of
// it is read.
func TestAStreamThatCannotBeTheLogIsToldAndNeverReady(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		told   string
	}{
		{"other subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>"} }, "its subjects are orders."},
		{"a work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "limits retention"},
		{"interest", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "limits retention"},
		{"one consumer", func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 }, "max_consumers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			server := natstest.Start(t)
			js := server.JetStream(t)
			cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{})
			tt.change(&cfg)
			stream, err := js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)

			p := start(t, server.URL(), nil)
			var probe cmdtest.Answer
			p.Eventually(func() bool {
				probe = p.Do(http.MethodGet, "/readyz")
				return probe.Status == http.StatusServiceUnavailable && strings.Contains(probe.Body, tt.told)
			})
			assert.Contains(t, probe.Body, "EVENTS (STREAM)")
			assert.Equal(t, http.StatusServiceUnavailable, p.Do(http.MethodGet, "/stream").Status)
			info, err := stream.Info(t.Context())
			require.NoError(t, err)
			assert.Zero(t, info.State.Consumers, "nothing of it is read")
		})
	}
}

// TestALogThatIsCompactedIsTold at the start, whoever has created it, and to
// every client.
func TestALogThatIsCompactedIsTold(t *testing.T) {
	for _, create := range []string{"true", "false"} {
		t.Run("CREATE_STREAM="+create, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			server := natstest.Start(t)
			cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{})
			cfg.MaxMsgsPerSubject = 3
			_, err := server.JetStream(t).CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			p := start(t, server.URL(), map[string]string{"CREATE_STREAM": create})
			p.WaitReady()
			assert.Equal(t, event.Compaction(&cfg), p.Logged("the stream is used as it is")["but"])
			client := p.Open("/stream", false)
			block, ok := client.Next()
			require.True(t, ok)
			assert.Contains(t, block.Data, `"compacted":true`)
			client.Close()
		})
	}
}

// TestLimitsThatTheStreamDoesNotHaveAreTold, and the stream is used as it is.
func TestLimitsThatTheStreamDoesNotHaveAreTold(t *testing.T) {
	natstest.CheckGoroutines(t)
	server := natstest.Start(t)
	cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{MaxAge: 2 * time.Hour})
	_, err := server.JetStream(t).CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	p := start(t, server.URL(), map[string]string{"STREAM_MAX_AGE": "3h"})
	p.WaitReady()
	assert.Equal(t, "STREAM_MAX_AGE asks for 3h0m0s, the stream has 2h0m0s", p.Logged("the stream is used as it is")["but"])
}
