package main

import (
	"flag"
	"net/http"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

func TestMain(m *testing.M) {
	natstest.RunNodeIfAsked()
	cmdtest.RunIfAsked(main)
	natstest.HearHangup()
	// The command line comes later and wins.
	_ = flag.Set("test.parallel", "12") // the parallel tests wait more than they work
	os.Exit(m.Run())
}

// rig is one NATS server with its log, for edges in processes of their own.
type rig struct {
	nats *natstest.Server
	log  *streamtest.Log
}

func newRig(t *testing.T) *rig {
	t.Helper()
	server := natstest.Start(t)
	return &rig{server, streamtest.NewLog(t, server.JetStream(t))}
}

// newLargeRig is newRig for events of cmdtest.Large.
func newLargeRig(t *testing.T) *rig {
	t.Helper()
	server := natstest.Start(t)
	log := streamtest.NewLog(t, server.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 2 * cmdtest.Large })
	log.Pad = cmdtest.Large
	return &rig{server, log}
}

// edge is one of them.
type edge struct {
	*cmdtest.Process
	t *testing.T
}

// edge starts one with settings as name, value, name, value, and waits until it
// is ready.
func (r *rig) edge(t *testing.T, settings ...string) *edge {
	t.Helper()
	e := edgeOn(t, r.nats.URL(), settings...)
	e.WaitReady()
	return e
}

// edgeOn starts an edge on the NATS servers at url.
func edgeOn(t *testing.T, url string, settings ...string) *edge {
	t.Helper()
	env := map[string]string{"NATS_URL": url, "DRAIN_TIMEOUT": "1s"} // each stop takes that
	for i := 0; i+1 < len(settings); i += 2 {
		env[settings[i]] = settings[i+1]
	}
	return &edge{Process: cmdtest.Exec(t, env), t: t}
}

// open opens a stream, whose open block is still to come.
func (e *edge) open(q streamtest.Query) *streamtest.Client {
	e.t.Helper()
	return streamtest.Open(e.t, e.URL(), q)
}

// live opens a stream and passes over its open block.
func (e *edge) live(topics ...string) *streamtest.Client {
	e.t.Helper()
	c := e.open(streamtest.Query{Topics: topics})
	c.System(e.t, "open")
	return c
}

// ends are the reasons for which streams of the topics have ended, by the log.
func (e *edge) ends(topics string) (reasons []string) {
	for _, record := range e.Records("a stream ended") {
		if record["topics"] == topics {
			reasons = append(reasons, record["reason"].(string))
		}
	}
	return reasons
}

// waitEnd waits until a stream of the topics has ended, and wants the reason.
func (e *edge) waitEnd(topics, reason string) {
	e.t.Helper()
	e.Eventually(func() bool { return len(e.ends(topics)) > 0 })
	require.Equal(e.t, []string{reason}, e.ends(topics))
}

// beats waits for some heartbeats of c, which is a while for its edge too.
func (e *edge) beats(c *streamtest.Client) {
	e.t.Helper()
	for range 5 {
		require.Equal(e.t, "heartbeat", c.Block(e.t).Type)
	}
}

func (e *edge) metrics() string {
	e.t.Helper()
	return e.Do(http.MethodGet, "/metrics").Body
}
