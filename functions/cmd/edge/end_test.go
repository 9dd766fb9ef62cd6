package main

import (
	"testing"

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

// TestNohup: an edge that is started to outlive its terminal does.
func TestNohup(t *testing.T) {
	t.Parallel()
	p := cmdtest.ExecAfter(t, `trap "" HUP`, map[string]string{"NATS_URL": natstest.Start(t).URL(), "HEARTBEAT_INTERVAL": "100ms", "DRAIN_TIMEOUT": "100ms"})
	p.WaitReady()
	c := streamtest.Open(t, p.URL(), streamtest.Query{})
	c.System(t, "open")
	p.Hangup()
	for range 5 {
		require.Equal(t, "heartbeat", c.Block(t).Type)
	}
	require.NoError(t, p.Stop())
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
		{"stalled", []string{"STALL_TIMEOUT", aStall}, nil},
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
