package cmdtest

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// RunSignals tests how the command ends on signals. start starts it with the
// settings by Exec, and tells where its NATS is.
func RunSignals(t *testing.T, start func(t *testing.T, env map[string]string) (p *Process, natsURL func() string)) {
	t.Helper()
	for name, signal := range map[string]func(*Process){"SIGTERM": (*Process).Terminate, "SIGINT": (*Process).Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := start(t, map[string]string{"HEARTBEAT_INTERVAL": "1h", "DRAIN_TIMEOUT": "1s"}) // nothing else comes
			p.WaitReady()
			var clients []*streamtest.Client
			for range 5 {
				c := streamtest.Open(t, p.URL(), streamtest.Query{Topics: []string{"nothing"}})
				c.System(t, "open")
				clients = append(clients, c)
			}
			signal(p)
			for _, c := range clients {
				assert.EqualValues(t, "shutdown", c.System(t, "drain").System().Reason)
				_, err := c.Next()
				assert.ErrorIs(t, err, io.EOF, "a proper end")
			}
			require.NoError(t, p.Wait(), "exit status 0")
			assert.Len(t, p.Records("stopped"), 1)
		})
	}
	t.Run("a second signal", func(t *testing.T) {
		t.Parallel()
		p, natsURL := start(t, map[string]string{"DRAIN_TIMEOUT": "1h", "STALL_TIMEOUT": "1h", "MAX_EVENT_BYTES": strconv.Itoa(Large)})
		p.WaitReady()
		log := streamtest.NewLog(t, jetStream(t, natsURL()))
		log.Pad = Large
		log.Publish("a")
		p.Stick(streamtest.Query{Topics: []string{"a"}, LastID: log.ID(0)})
		p.Terminate()
		p.Logged("draining")
		p.eventually(func() bool {
			p.Terminate()
			return p.ended()
		}, "it does not end")
		var status *exec.ExitError
		require.ErrorAs(t, p.err, &status)
		assert.Equal(t, syscall.SIGTERM, status.Sys().(syscall.WaitStatus).Signal())
		assert.Empty(t, p.Records("stopped"))
	})
}

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, nats.Timeout(natstest.Patience))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}
