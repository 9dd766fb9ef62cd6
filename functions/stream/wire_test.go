package stream_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httputil"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// rig is one NATS server with its log, and an edge on it.
type rig struct {
	nats *natstest.Server
	log  *streamtest.Log
	edge *streamtest.Edge
}

func newRig(t *testing.T, change ...func(*streamtest.Options)) *rig {
	t.Helper()
	ns := natstest.Start(t)
	return &rig{nats: ns, log: streamtest.NewLog(t, ns.JetStream(t)), edge: streamtest.Start(t, ns.URL(), change...)}
}

func (r *rig) open(t *testing.T, q streamtest.Query) *streamtest.Client {
	t.Helper()
	return streamtest.Open(t, r.edge.URL, q)
}

// live opens a stream and passes over its open block.
func (r *rig) live(t *testing.T, topics ...string) *streamtest.Client {
	t.Helper()
	c := r.open(t, streamtest.Query{Topics: topics})
	c.System(t, "open")
	return c
}

// head reads a response's head as bytes, without the date.
func head(t *testing.T, r *bufio.Reader) []string {
	t.Helper()
	var lines []string
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if line == "\r\n" {
			sort.Strings(lines[1:])
			return lines
		}
		if !strings.HasPrefix(line, "Date: ") {
			lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		}
	}
}

func TestWireBytes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		way   func(*streamtest.Options)
		proto string
		head  []string // beside what all have
	}{
		{"directly", direct, "HTTP/1.1", []string{"Connection: close", "Transfer-Encoding: chunked"}},
		{"through net/http", throughHTTP, "HTTP/1.1", []string{"Connection: keep-alive", "Transfer-Encoding: chunked"}},
		{"HTTP/1.0 directly", direct, "HTTP/1.0", []string{"Connection: close"}},
		{"HTTP/1.0 through net/http", throughHTTP, "HTTP/1.0", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			r := newRig(t, tt.way)
			conn, err := streamtest.Dial(r.edge.URL, streamtest.Query{Proto: tt.proto})
			require.NoError(t, err)
			defer conn.Close()
			in := bufio.NewReader(conn)

			want := append(tt.head, "Content-Type: text/event-stream", "Cache-Control: no-cache, no-transform", "X-Accel-Buffering: no")
			sort.Strings(want)
			got := head(t, in)
			assert.Contains(t, []string{tt.proto + " 200 OK", "HTTP/1.0 200 OK"}, got[0])
			assert.Equal(t, want, got[1:])

			body := io.Reader(in)
			if tt.proto == "HTTP/1.1" {
				body = httputil.NewChunkedReader(in)
			}
			open := "id: " + r.log.ID(0) + "\nevent: system\n" +
				`data: {"type":"open","message":"connected; the events follow","resumed":"none"}` + "\nretry: 5000\n\n"
			assertReads(t, open, body)
			r.log.Publish("metric.cpu", "log.error")
			assertReads(t, "id: "+r.log.ID(1)+"\nevent: data\ndata: {\"n\":1}\nretry: 5000\n\n"+
				"id: "+r.log.ID(2)+"\nevent: data\ndata: {\"n\":2}\nretry: 5000\n\n", body)
		})
	}
}

func assertReads(t *testing.T, want string, from io.Reader) {
	t.Helper()
	got := make([]byte, len(want))
	n, _ := io.ReadFull(from, got)
	assert.Equal(t, want, string(got[:n]))
}

// TestHTTP2 is a client with prior knowledge in clear text (h2c).
func TestHTTP2(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()

	resp, err := (&http.Client{Transport: transport, Timeout: natstest.Patience}).Get(r.edge.URL + "/stream?topic=metric.*")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 2, resp.ProtoMajor)
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	assert.Empty(t, resp.Header.Get("Connection"), "HTTP/2 forbids it")

	c := streamtest.Over(resp)
	c.System(t, "open")
	r.log.PublishN(300, "metric.cpu", "log.error", "metric.mem")
	for _, want := range r.log.Match(0, "metric.*") {
		assert.Equal(t, want.Data, c.Event(t).Data)
	}
	r.edge.Shutdown(0, 5*time.Second)
	assert.Equal(t, "shutdown", string(c.System(t, "drain").System().Reason))
	_, err = c.Next()
	assert.ErrorIs(t, err, io.EOF)
}
