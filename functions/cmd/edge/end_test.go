package main

import (
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

func TestSignals(t *testing.T) {
	cmdtest.RunSignals(t, func(t *testing.T, env map[string]string) (*cmdtest.Process, func() string) {
		server := natstest.Start(t)
		vars := map[string]string{"NATS_URL": server.URL()}
		for name, value := range env {
			vars[name] = value
		}
		return cmdtest.Exec(t, vars), server.URL
	})
}

// ways runs a test over both ways to the socket, with the value of DIRECT.
func ways(t *testing.T, test func(t *testing.T, direct string)) {
	t.Helper()
	t.Run("direct", func(t *testing.T) { test(t, "true") })
	t.Run("through net/http", func(t *testing.T) { test(t, "false") })
}

// TestEachStreamIsLoggedOnceWhenItEnds, whatever it ends with, and however much
// comes behind that.
func TestEachStreamIsLoggedOnceWhenItEnds(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		settings []string
		end      func(r *rig, e *edge, c *streamtest.Client)
	}{
		{"gone", nil, func(_ *rig, _ *edge, c *streamtest.Client) { c.Close() }},
		{"slow", []string{"PENDING_MSGS", "5"}, func(r *rig, e *edge, _ *streamtest.Client) { r.publishUntilEnd(e, "a") }},
		{"stalled", []string{"STALL_TIMEOUT", "300ms"}, nil},
		{"max_age", []string{"MAX_AGE", "1s"}, nil},
		{"shutdown", nil, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			ways(t, func(t *testing.T, direct string) {
				r := newRig(t)
				r.log.Pad = 1000
				r.log.PublishN(1000, "a")
				e := r.edge(t, noLimits(append(tt.settings, "DIRECT", direct)...)...)
				q := streamtest.Query{Topics: []string{"a"}, RecvBuf: receiveBuffer}
				if tt.reason == "stalled" {
					q.LastID = r.log.ID(0)
				}
				c := e.open(q)
				c.System(t, "open")
				if tt.end != nil {
					tt.end(r, e, c)
				}
				if tt.reason != "shutdown" {
					e.waitEnd("a", tt.reason)
				}
				require.NoError(t, e.Stop())
				assert.Equal(t, []string{tt.reason}, e.ends("a"))
				assert.NotEmpty(t, e.Records("a stream ended")[0]["remote"])
			})
		})
	}
}

// TestTerminateWith500Streams is a process of its own that gets SIGTERM.
func TestTerminateWith500Streams(t *testing.T) {
	ways(t, func(t *testing.T, direct string) {
		natstest.CheckGoroutines(t)
		r := newRig(t)
		edge := r.edge(t, "DIRECT", direct, "DRAIN_TIMEOUT", "1s")
		var clients []*streamtest.Client
		for i := range 500 {
			q := streamtest.Query{Topics: []string{topics[i%len(topics)]}}
			if i%100 == 0 {
				q.Proto = "HTTP/1.0"
			}
			c := edge.open(q)
			c.System(t, "open")
			clients = append(clients, c)
		}
		r.log.Publish(topics...)
		for i, c := range clients {
			require.Equal(t, r.log.Match(0, topics[i%len(topics)])[0].Data, c.Event(t).Data)
		}
		began := time.Now()
		edge.Terminate()
		retries := map[string]bool{}
		for _, c := range clients {
			drain := c.System(t, "drain")
			assert.EqualValues(t, "shutdown", drain.System().Reason)
			assert.Equal(t, r.log.ID(r.log.Last().Seq), drain.ID, "the position, not its own last event's")
			retries[drain.Retry] = true
			_, err := c.Next()
			require.ErrorIs(t, err, io.EOF, "a proper end")
		}
		require.NoError(t, edge.Wait(), "exit code 0")
		assert.Less(t, time.Since(began), 10*time.Second)
		assert.Greater(t, len(retries), 100, "not all come back at once")
		for retry := range retries {
			ms, err := strconv.Atoi(retry)
			require.NoError(t, err)
			assert.True(t, 1000 <= ms && ms <= 5000, retry)
		}
	})
}
