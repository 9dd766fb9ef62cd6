package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

const (
	fewFiles = 128 // that an edge may open
	holders  = 150 // connections that one address holds
)

// holds are ways to keep a connection without a stream.
var holds = []struct{ name, sent string }{
	{"nothing is sent", ""},
	{"half a head", "GET /livez HTTP/1.1\r\nHost: x\r\n"},
	{"a body that never comes", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"},
	{"a body that never comes, to a stream", "POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"},
	{"a body that never comes, to nothing", "GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"},
	{"a chunk that never ends", "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"},
	{"an expectation and no body", "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: all\r\nContent-Length: 9\r\n\r\n"},
	{"a body that waits for 100", "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"},
	{"OPTIONS * and no body", "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"},
	{"silence after an answer", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"answers that are not read", strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 12)},
	{"refusals that are not read", strings.Repeat("GET /stream?topic=.. HTTP/1.1\r\nHost: x\r\n\r\n", 600)},
	{"HTTP/2 without a stream", h2cPreface},
	{"HTTP/2 with a body that never comes", h2cPreface + "\x00\x00\x0d\x01\x04\x00\x00\x00\x01\x82\x86\x41\x01x\x44\x06/livez"},
}

// h2cPreface begins HTTP/2, with empty SETTINGS (RFC 9113, 3.4).
const h2cPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// TestProbesAreAnsweredWhileConnectionsAreHeld, more of them than the process may
// open files. Streams that were open before stay.
func TestProbesAreAnsweredWhileConnectionsAreHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.edgeOfFewFiles(t)
	c, overH2 := e.live(), e.Open("/stream", true)
	_, ok := overH2.Next()
	require.True(t, ok)
	for _, way := range holds {
		t.Run(way.name, func(t *testing.T) {
			defer e.hold(t, way.sent)()
			for range 5 {
				require.Equal(t, http.StatusOK, e.Do(http.MethodGet, "/livez", "Connection", "close").Status)
			}
		})
	}
	sent := r.log.Publish("a")
	assert.Equal(t, sent.Data, c.Event(t).Data)
	block, ok := overH2.Next()
	require.True(t, ok)
	assert.Equal(t, sent.Data, block.Data)
}

// TestStreamsLeaveRoomForProbes, and probes for streams.
func TestStreamsLeaveRoomForProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.edgeOfFewFiles(t)
	clients := make([]*streamtest.Client, fewFiles-50)
	for i := range clients {
		clients[i] = e.live()
	}
	release := e.hold(t, "")
	require.Equal(t, http.StatusOK, e.Do(http.MethodGet, "/livez", "Connection", "close").Status)
	release()
	sent := r.log.Publish("a")
	for _, c := range clients {
		require.Equal(t, sent.Data, c.Event(t).Data)
	}
	require.NotContains(t, e.metrics(), "\nsse_other_connections_closed_total 0\n")
}

func (r *rig) edgeOfFewFiles(t *testing.T) *edge {
	t.Helper()
	e := &edge{Process: cmdtest.ExecAfter(t, fmt.Sprintf("ulimit -n %d", fewFiles), map[string]string{
		"NATS_URL": r.nats.URL(), "DRAIN_TIMEOUT": "100ms", "HEARTBEAT_INTERVAL": "1h",
	}), t: t}
	e.WaitReady()
	return e
}

// hold is holders connections to the edge.
func (e *edge) hold(t *testing.T, sent string) (release func()) {
	t.Helper()
	return hold(t, strings.TrimPrefix(e.URL(), "http://"), holders, sent)
}

// hold opens connections on which sent is sent, and nothing is read, until release
// is called. The edge may close them at any time.
func hold(t *testing.T, addr string, n int, sent string) (release func()) {
	t.Helper()
	var sending sync.WaitGroup
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.DialTimeout("tcp", addr, natstest.Patience)
		require.NoError(t, err)
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		sending.Go(func() { _, _ = io.WriteString(conn, sent) }) // not all of it may fit
		conns[i] = conn
	}
	return func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
		sending.Wait()
	}
}
