package cmdtest

import (
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
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
	for name, signal := range map[string]func(*Process){
		"SIGTERM": (*Process).Terminate, "SIGINT": (*Process).Interrupt, "SIGHUP": (*Process).Hangup,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := start(t, forSignals)
			clients := listeners(t, p)
			signal(p)
			sentAway(t, clients)
			require.NoError(t, p.Wait(), "exit status 0")
			assert.Len(t, p.Records("stopped"), 1)
		})
	}
	t.Run("the reader of the log goes away, then SIGINT", func(t *testing.T) {
		t.Parallel()
		p, _ := start(t, forSignals)
		clients := listeners(t, p)
		p.StopReading()
		streamtest.Open(t, p.URL(), streamtest.Query{}).Close() // its end is logged
		p.eventually(func() bool {
			return strings.Contains(p.Do(http.MethodGet, "/metrics").Body, "\nsse_connections_ended_total{reason=\"gone\"} 1\n")
		}, "its end is not counted")
		p.Interrupt()
		sentAway(t, clients)
		require.NoError(t, p.Wait(), "exit status 0")
	})
	t.Run("the reader of the log stays and does not read, then SIGTERM", func(t *testing.T) {
		t.Parallel()
		p, _ := start(t, forSignals)
		endsUnread(t, p)
	})
	t.Run("the terminal goes away", func(t *testing.T) {
		t.Parallel()
		p, _ := start(t, forSignals)
		clients := listeners(t, p)
		p.Hangup() // by the kernel
		p.Logged("draining")
		p.StopReading()
		p.Hangup() // by the shell
		sentAway(t, clients)
		require.NoError(t, p.Wait(), "exit status 0")
	})
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

// endsUnread has p end while its log is not read.
func endsUnread(t *testing.T, p *Process) {
	t.Helper()
	clients := listeners(t, p)
	resume := p.PauseReading()
	defer resume()
	long := streamtest.Query{Topics: []string{strings.Repeat("a.", 15) + strings.Repeat("a", 64)}}
	for i := range 8 {
		long.Topics = append(long.Topics, strings.Repeat("b", 60)+strconv.Itoa(i))
	}
	for range 300 { // of which each end is logged, in more than a pipe holds
		streamtest.Open(t, p.URL(), long).Close()
	}
	p.Terminate()
	sentAway(t, clients)
	natstest.Receive(t, p.exited)
	resume()
	require.NoError(t, p.Wait(), "exit status 0")
}

// forSignals are settings under which nothing but the end comes, and soon.
var forSignals = map[string]string{"HEARTBEAT_INTERVAL": "1h", "DRAIN_TIMEOUT": "5s"}

// listeners are clients of p that have begun.
func listeners(t *testing.T, p *Process) []*streamtest.Client {
	t.Helper()
	p.WaitReady()
	clients := make([]*streamtest.Client, 20)
	for i := range clients {
		clients[i] = streamtest.Open(t, p.URL(), streamtest.Query{Topics: []string{"nothing"}})
		clients[i].System(t, "open")
	}
	return clients
}

// sentAway wants that the clients are told, and that they end well.
func sentAway(t *testing.T, clients []*streamtest.Client) {
	t.Helper()
	for _, c := range clients {
		require.EqualValues(t, "shutdown", c.System(t, "drain").System().Reason)
		_, err := c.Next()
		require.ErrorIs(t, err, io.EOF, "a proper end")
	}
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
