package stream_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestWhoIsToldInBand has an edge without a place. Every EventSource asks for
// text/event-stream, and for nothing else; a status would end most for good.
func TestWhoIsToldInBand(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t, func(o *streamtest.Options) { o.Access.MaxConnections = 1 })
	r.live(t)
	const blocks, status = 200, 503
	for _, tt := range []struct {
		name   string
		accept []string
		busy   string
		want   int
	}{
		{"an EventSource", []string{"text/event-stream"}, "", blocks},
		{"in capitals", []string{"Text/Event-Stream"}, "", blocks},
		{"with a charset", []string{"text/event-stream; charset=utf-8"}, "", blocks},
		{"and anything else below it", []string{"text/event-stream, */*;q=0.1"}, "", blocks},
		{"and JSON below it, in two lines", []string{"application/json;q=0.5", "text/event-stream"}, "", blocks},
		{"text", []string{"text/*"}, "", blocks},
		{"no Accept", []string{}, "", status},
		{"an empty Accept", []string{""}, "", status},
		{"anything, as curl", []string{"*/*"}, "", status},
		{"JSON", []string{"application/json"}, "", status},
		{"JSON and events", []string{"application/json, text/event-stream"}, "", status},
		{"anything but events", []string{"text/event-stream;q=0, */*"}, "", status},
		{"only no events", []string{"text/event-stream;q=0"}, "", status},
		{"a page", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "", status},
		{"nonsense", []string{"text/event-stream/;;"}, "", status},
		{"anything that asks for blocks", []string{"*/*"}, "inband", blocks},
		{"an EventSource that asks for a status", []string{"text/event-stream"}, "status", status},
		{"nonsense of busy", []string{"text/event-stream"}, "yes", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := streamtest.Query{Header: http.Header{"Accept": tt.accept}}
			if tt.busy != "" {
				q.Params = url.Values{"busy": {tt.busy}}
			}
			c, err := streamtest.Connect(r.edge.URL, q)
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, tt.want, c.Response.StatusCode)
			switch tt.want {
			case blocks:
				assert.EqualValues(t, "too_many_connections", c.System(t, "busy").System().Reason)
				_, err := c.Next()
				assert.ErrorIs(t, err, io.EOF, "a clean end")
			case status:
				assertError(t, "too_many_connections", c.Response)
			default:
				assertError(t, "bad_busy", c.Response)
			}
		})
	}
}

// TestWhoIsBusyKeepsWhatTheClientAskedFor: a block without an id may erase a
// cursor, and one with an id comes before what the URL asks for.
func TestWhoIsBusyKeepsWhatTheClientAskedFor(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Access.MaxConnections = 1 })
		there := r.live(t)
		r.log.PublishN(5, "a")
		there.Events(t, 5)
		check := func(block, reason string) {
			for _, tt := range []struct {
				name string
				q    streamtest.Query
				id   string
			}{
				{"a cursor", streamtest.Query{LastID: r.log.ID(2)}, r.log.ID(2)},
				{"a cursor of another log", streamtest.Query{LastID: "0198f5aa-3c1d-8000-8000-00000000002a"}, "0198f5aa-3c1d-8000-8000-00000000002a"},
				{"a cursor in the query", streamtest.Query{Params: url.Values{"last_event_id": {r.log.ID(3)}}}, r.log.ID(3)},
				{"a cursor before all else", streamtest.Query{LastID: r.log.ID(1), Params: url.Values{"from": {"start"}}}, r.log.ID(1)},
				{"a cursor that is none of ours", streamtest.Query{LastID: "42"}, "42"},
				{"live", streamtest.Query{}, r.log.ID(5)},
				{"from the start", streamtest.Query{Params: url.Values{"from": {"start"}}}, ""},
				{"since", streamtest.Query{Params: url.Values{"since": {"1h"}}}, ""},
				{"the last", streamtest.Query{Params: url.Values{"last": {"2"}}}, ""},
			} {
				c := r.open(t, tt.q)
				b := c.System(t, block)
				assert.Equal(t, tt.id != "", b.HasID, tt.name)
				assert.Equal(t, tt.id, b.ID, tt.name)
				assert.EqualValues(t, reason, b.System().Reason, tt.name)
				ms, err := strconv.Atoi(b.Retry)
				require.NoError(t, err)
				assert.GreaterOrEqual(t, ms, 1000)
				_, err = c.Next()
				assert.ErrorIs(t, err, io.EOF, tt.name)
			}
		}
		check("busy", "too_many_connections")
		r.edge.Handler.Drain()
		check("drain", "shutdown")
	})
}

// TestABusyClientStaysAwayForLongerThanRetry, whatever RETRY is.
func TestABusyClientStaysAwayForLongerThanRetry(t *testing.T) {
	for retry, least := range map[time.Duration]int{time.Second: 5000, time.Minute: 60_000} {
		h := unready(t, func(c *stream.Config) { c.Encoder = encoderWithRetry(retry) })
		for range 20 {
			m := behind(t, h, nil)
			ms, err := strconv.Atoi(streamtest.Open(t, m.url, streamtest.Query{}).System(t, "busy").Retry)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, ms, least)
			assert.Less(t, ms, 2*least)
		}
	}
}

// TestWhatTheLogCannotSayNow: NATS is away, and who needs it is told so.
func TestWhatTheLogCannotSayNow(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way, smallRing)
		r.log.PublishN(40, "a")
		require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 40 }, natstest.Patience, time.Millisecond)
		r.nats.Stop()
		another := event.ID{Epoch: r.log.Epoch + 1, Seq: 42}.String()
		var asking sync.WaitGroup // each waits for NATS
		for name, tt := range map[string]struct {
			q  streamtest.Query
			id string
		}{
			"from the start":          {streamtest.Query{Params: url.Values{"from": {"start"}}}, ""}, // an id would count before it
			"since":                   {streamtest.Query{Params: url.Values{"since": {"1h"}}}, ""},
			"a cursor of a newer log": {streamtest.Query{LastID: another}, another},
		} {
			asking.Go(func() {
				c, err := streamtest.Connect(r.edge.URL, tt.q)
				if !assert.NoError(t, err) {
					return
				}
				defer c.Close()
				b, err := c.Next()
				assert.NoError(t, err)
				assert.Equal(t, sse.System{Type: "busy", Reason: "log_unavailable", Message: b.System().Message}, b.System(), name)
				assert.Equal(t, tt.id != "", b.HasID, name)
				assert.Equal(t, tt.id, b.ID, name)
			})
		}
		asking.Go(func() {
			c, err := streamtest.Connect(r.edge.URL, streamtest.Query{Params: url.Values{"from": {"start"}, "busy": {"status"}}})
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusServiceUnavailable, c.Response.StatusCode)
				assertError(t, "log_unavailable", c.Response)
				c.Close()
			}
		})
		assert.Equal(t, "none", r.open(t, streamtest.Query{}).System(t, "open").System().Resumed, "who does not need it is served")
		asking.Wait()
	})
}

// TestRefusalsOverEveryProtocol are whole: nothing is left of the answer, nor
// missing.
func TestRefusalsOverEveryProtocol(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t, func(o *streamtest.Options) { o.Access.MaxConnections = 1 })
	there := r.live(t)
	r.log.Publish("a")
	there.Event(t)
	read := func(t *testing.T, body io.Reader) {
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		assert.Regexp(t, "^id: "+r.log.ID(1)+"\nevent: system\n"+
			`data: {"type":"busy","message":"[^"]+","reason":"too_many_connections"}`+"\nretry: [5-9][0-9]{3}\n\n$", string(got))
	}
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
		t.Run(proto, func(t *testing.T) {
			conn, err := streamtest.Dial(r.edge.URL, streamtest.Query{Proto: proto, Header: http.Header{"Connection": {"close"}}})
			require.NoError(t, err)
			defer conn.Close()
			in := bufio.NewReader(conn)
			var body io.Reader = in
			for _, line := range head(t, in) {
				if line == "Transfer-Encoding: chunked" {
					body = httputil.NewChunkedReader(in)
				}
			}
			read(t, body)
		})
	}
	t.Run("h2c", func(t *testing.T) {
		resp := h2c(t, http.MethodGet, r.edge.URL+"/stream")
		assert.Equal(t, 200, resp.StatusCode)
		read(t, resp.Body)
		resp = h2c(t, http.MethodHead, r.edge.URL+"/stream")
		assert.Equal(t, 200, resp.StatusCode)
		assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	})
}

// h2c asks as an EventSource over HTTP/2 in clear text.
func h2c(t *testing.T, method, url string) *http.Response {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	req, err := http.NewRequestWithContext(natstest.Context(t), method, url, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
	})
	return resp
}
