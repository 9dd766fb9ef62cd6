package stream_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream"
	"sluice/functions/stream/socket"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// middleware is what a program puts around the handler, with what it saw.
type middleware struct {
	url      string
	wrap     func(http.ResponseWriter) http.ResponseWriter // nil for none
	ends     chan stream.End                               // by OnEnd
	returned chan struct{}                                 // once for each request that the handler is done with
}

// behind serves an edge's handler behind a middleware until the test ends.
func behind(t *testing.T, h http.Handler, wrap func(http.ResponseWriter) http.ResponseWriter) *middleware {
	t.Helper()
	m := &middleware{wrap: wrap, ends: make(chan stream.End, 64), returned: make(chan struct{}, 64)}
	l, err := socket.Listen(t.Context(), "127.0.0.1:0", socket.ListenOptions{SendBuffer: 64 << 10})
	require.NoError(t, err)
	m.url = "http://" + l.Addr().String()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: m.around(h), Protocols: protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close() // it may tell of a connection that is closed already
		require.ErrorIs(t, natstest.Receive(t, served), http.ErrServerClosed)
	})
	return m
}

func (m *middleware) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { m.returned <- struct{}{} }()
		w.Header().Set("X-Request-Id", "7")
		if m.wrap != nil {
			w = m.wrap(w)
		}
		h.ServeHTTP(w, r.WithContext(stream.OnEnd(r.Context(), func(e stream.End) { m.ends <- e })))
	})
}

// hidden is a ResponseWriter that shows nothing of what the inner one can do.
type hidden struct{ inner http.ResponseWriter }

func (w hidden) Header() http.Header         { return w.inner.Header() }
func (w hidden) WriteHeader(status int)      { w.inner.WriteHeader(status) }
func (w hidden) Write(p []byte) (int, error) { return w.inner.Write(p) }

// unwrapping has only Unwrap, as http.ResponseController wants it.
type unwrapping struct{ hidden }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.inner }

// flushing is from before http.ResponseController.
type flushing struct{ hidden }

func (w flushing) Flush() { w.inner.(http.Flusher).Flush() }

// promising has a Hijack that fails.
type promising struct{ flushing }

func (promising) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("the inner writer cannot")
}

func hides(w http.ResponseWriter) http.ResponseWriter    { return hidden{w} }
func unwraps(w http.ResponseWriter) http.ResponseWriter  { return unwrapping{hidden{w}} }
func flushes(w http.ResponseWriter) http.ResponseWriter  { return flushing{hidden{w}} }
func promises(w http.ResponseWriter) http.ResponseWriter { return promising{flushing{hidden{w}}} }

// counting gives the handler a registry of the test's own.
func counting() (*prometheus.Registry, func(*streamtest.Options)) {
	reg := prometheus.NewRegistry()
	return reg, func(o *streamtest.Options) { o.Stream.Registry = reg }
}

// values are a metric's values by its only label.
func values(t *testing.T, reg *prometheus.Registry, name string) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	all := map[string]int{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				require.Len(t, m.GetLabel(), 1)
				all[m.GetLabel()[0].GetValue()] = int(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			}
		}
	}
	return all
}

func TestTheWayBehindMiddleware(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wrap   func(http.ResponseWriter) http.ResponseWriter
		direct bool
	}{
		{"that wraps nothing", nil, true},
		{"that has only Unwrap", unwraps, true},
		{"that has only Unwrap, twice", func(w http.ResponseWriter) http.ResponseWriter { return unwraps(unwraps(w)) }, true},
		{"that has only Flush", flushes, false},
		{"that has only Flush, below one with Unwrap",
			func(w http.ResponseWriter) http.ResponseWriter { return unwraps(flushes(w)) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			reg, registry := counting()
			r := newRig(t, registry)
			m := behind(t, r.edge.Handler, tt.wrap)
			require.Equal(t, map[string]int{"direct": 0, "http": 0}, values(t, reg, "sse_connected_clients"))

			c := streamtest.Open(t, m.url, streamtest.Query{})
			c.System(t, "open")
			assert.Equal(t, tt.direct, c.Response.Close, "Connection: close")
			assert.Equal(t, "7", c.Response.Header.Get("X-Request-Id"), "what middleware sets stays")
			want := map[string]int{"direct": 0, "http": 1}
			if tt.direct {
				want = map[string]int{"direct": 1, "http": 0}
			}
			assert.Equal(t, want, values(t, reg, "sse_connected_clients"))
			assert.Equal(t, r.log.Publish("a").Data, c.Event(t).Data)

			c.Close()
			assert.Equal(t, tt.direct, natstest.Receive(t, m.ends).Direct)
			assert.Equal(t, map[string]int{"direct": 0, "http": 0}, values(t, reg, "sse_connected_clients"))
		})
	}
}

// TestBehindMiddlewareThatCannotStream: an empty answer with status 200 would
// stop an EventSource for good, and the log says whose fault it is.
func TestBehindMiddlewareThatCannotStream(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.ResponseWriter) http.ResponseWriter
		end  stream.End
		log  string
	}{
		{"a Hijack that fails", promises, stream.End{Reason: "gone", Direct: true},
			"a connection cannot be taken over: the Hijack of a ResponseWriter around it fails"},
		{"neither Flush nor Unwrap", hides, stream.End{Reason: "gone"},
			"a response cannot be flushed: a ResponseWriter around it has neither Flush nor Unwrap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			r := newRig(t)
			reg, log := prometheus.NewRegistry(), new(bytes.Buffer)
			h := stream.New(stream.Config{
				Feed: r.edge.Feed, Encoder: sse.NewEncoder("EVENTS", 0, 0), Registry: reg, Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
			m := behind(t, h, tt.wrap)
			conn, err := streamtest.Dial(m.url, streamtest.Query{})
			require.NoError(t, err)
			defer conn.Close()
			got, _ := io.ReadAll(conn)
			assert.NotContains(t, string(got), "Content-Length: 0")
			assert.False(t, strings.HasSuffix(string(got), "0\r\n\r\n"), "it does not look complete: %q", got)
			end := natstest.Receive(t, m.ends)
			end.LastID = event.ID{}
			assert.Equal(t, tt.end, end)
			natstest.Receive(t, m.returned)
			assert.Contains(t, log.String(), tt.log)
			assert.Zero(t, r.edge.Feed.Count())
			assert.Equal(t, map[string]int{"direct": 0, "http": 0}, values(t, reg, "sse_connected_clients"))
		})
	}
}

// TestAPlaceIsTheStreamsAndNotTheHandlers: a direct stream goes on when the
// handler has returned.
func TestAPlaceIsTheStreamsAndNotTheHandlers(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		var o streamtest.Options
		way(&o)
		r := newRig(t, way, func(o *streamtest.Options) { o.Access.MaxConnections = 1 })
		m := behind(t, r.edge.Handler, nil)
		first := streamtest.Open(t, m.url, streamtest.Query{})
		first.System(t, "open")
		if !o.Stream.ThroughHTTP {
			natstest.Receive(t, m.returned)
		}
		second, err := streamtest.Connect(m.url, streamtest.Query{Params: status})
		require.NoError(t, err)
		defer second.Close()
		require.Equal(t, http.StatusServiceUnavailable, second.Response.StatusCode)
		assertError(t, "too_many_connections", second.Response)
		require.Equal(t, "too_many_connections", natstest.Receive(t, m.ends).Reason)

		first.Close()
		require.Equal(t, "gone", natstest.Receive(t, m.ends).Reason)
		streamtest.Open(t, m.url, streamtest.Query{}).System(t, "open")
	})
}
