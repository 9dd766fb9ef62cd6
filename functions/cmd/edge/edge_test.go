package main

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// start starts an edge on the NATS at url.
func start(t *testing.T, url string, env map[string]string) *cmdtest.Process {
	t.Helper()
	vars := map[string]string{"NATS_URL": url, "DRAIN_TIMEOUT": "100ms"} // each stop takes that
	for name, value := range env {
		vars[name] = value
	}
	return cmdtest.Start(t, run, vars)
}

func publish(t *testing.T, js jetstream.JetStream, topic string) {
	t.Helper()
	_, err := js.Publish(t.Context(), event.Subject(topic), []byte(`{"n":1}`))
	require.NoError(t, err)
}

func TestEdgeWaitsForNATSAndOutlivesIt(t *testing.T) {
	natstest.CheckGoroutines(t)
	server := natstest.Start(t)
	withSecret := strings.Replace(server.URL(), "nats://", "nats://someone:topsecret@", 1)
	server.Stop()

	p := start(t, withSecret, nil)
	assert.Equal(t, http.StatusOK, p.Do(http.MethodGet, "/livez").Status)
	probe := p.Do(http.MethodGet, "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, probe.Status)
	assert.Contains(t, probe.Body, "not connected to NATS")
	assert.Equal(t, http.StatusServiceUnavailable, p.Do(http.MethodGet, "/health").Status)
	refused := p.Do(http.MethodGet, "/stream")
	assert.Equal(t, http.StatusServiceUnavailable, refused.Status)
	assert.NotEmpty(t, refused.Header.Get("Retry-After"))
	p.Logged("NATS is not reachable, trying on; until it is, this process is live but not ready")

	server.Restart()
	p.WaitReady()
	client := p.Open("/stream?topic=log.>", false)
	_, ok := client.Next()
	require.True(t, ok)

	server.Stop()
	p.WaitNotReady()
	assert.Equal(t, http.StatusOK, p.Do(http.MethodGet, "/livez").Status)

	server.Restart()
	p.WaitReady()
	publish(t, server.JetStream(t), "log.error")
	block, ok := client.Next()
	require.True(t, ok, "an outage of NATS closes no client")
	assert.JSONEq(t, `{"n":1}`, block.Data)

	client.Close()
	require.NoError(t, p.Stop())
	assert.NotContains(t, p.Stderr(), "topsecret")
}

func TestAMissingStreamIsNamedWithTheSettingThatCreatesIt(t *testing.T) {
	server := natstest.Start(t)
	p := start(t, server.URL(), map[string]string{"CREATE_STREAM": "false", "STREAM": "ORDERS"})
	said := p.Logged("the event log cannot be used yet, trying on")["err"]
	assert.Contains(t, said, "CREATE_STREAM=true")
	assert.Contains(t, said, "ORDERS")
	p.WaitNotReady()
	_, err := server.JetStream(t).CreateStream(t.Context(), event.StreamConfig("ORDERS", event.StreamLimits{}))
	require.NoError(t, err)
	p.WaitReady()
}

func TestTheStreamIsCreatedAsSet(t *testing.T) {
	server := natstest.Start(t)
	p := start(t, server.URL(), map[string]string{"STREAM_MAX_AGE": "1h", "STREAM_MAX_BYTES": "1048576", "STREAM_DUPLICATES": "3m", "MAX_EVENT_BYTES": "1000"})
	p.WaitReady()
	s, err := server.JetStream(t).Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	assert.Equal(t, event.StreamConfig(event.DefaultStream, event.StreamLimits{MaxAge: 3600e9, MaxBytes: 1 << 20, MaxMsgBytes: 1000}).MaxMsgSize,
		s.CachedInfo().Config.MaxMsgSize)
	assert.EqualValues(t, 3600e9, s.CachedInfo().Config.MaxAge)
	assert.EqualValues(t, 1<<20, s.CachedInfo().Config.MaxBytes)
	assert.Equal(t, 3*time.Minute, s.CachedInfo().Config.Duplicates)

	require.NoError(t, p.Stop())
	p = start(t, server.URL(), map[string]string{"STREAM_MAX_AGE": "2h"})
	p.WaitReady()
	s, err = server.JetStream(t).Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	assert.EqualValues(t, 3600e9, s.CachedInfo().Config.MaxAge, "what exists is its operator's")
}

func TestFunctions(t *testing.T) {
	natstest.CheckGoroutines(t)
	server := natstest.Start(t)
	start(t, server.URL(), nil).WaitReady() // the stream is there
	for _, tc := range []struct {
		functions string
		serves    []string
		lacks     []string
	}{
		{"stream", []string{"/livez", "/readyz", "/metrics"}, []string{"/", "/health", "/console"}},
		{"health", []string{"/livez", "/readyz", "/metrics", "/", "/health"}, []string{"/stream", "/console"}},
		{"health,console", []string{"/console", "/health"}, []string{"/stream"}},
	} {
		t.Run(tc.functions, func(t *testing.T) {
			p := start(t, server.URL(), map[string]string{"FUNCTIONS": tc.functions})
			p.WaitReady()
			for _, path := range tc.serves {
				assert.Equal(t, http.StatusOK, p.Do(http.MethodGet, path).Status, path)
			}
			for _, path := range tc.lacks {
				assert.Equal(t, http.StatusNotFound, p.Do(http.MethodGet, path).Status, path)
			}
			require.NoError(t, p.Stop())
		})
	}
}

func TestUnknownPathsAndMethodsGetJSON(t *testing.T) {
	p := start(t, natstest.Start(t).URL(), nil)
	p.WaitReady()
	for _, tc := range []struct {
		name, method, path string
		status             int
		allow, code        string
	}{
		{"unknown path", http.MethodGet, "/nothing", http.StatusNotFound, "", "not_found"},
		{"path with dots", http.MethodGet, "/stream/../../etc/passwd", http.StatusNotFound, "", "not_found"},
		{"path in capitals", http.MethodGet, "/STREAM", http.StatusNotFound, "", "not_found"},
		{"POST", http.MethodPost, "/stream", http.StatusMethodNotAllowed, "GET, HEAD, OPTIONS", "method_not_allowed"},
		{"HEAD of a stream's bad topic", http.MethodHead, "/stream?topic=..", http.StatusBadRequest, "", ""},
		{"unknown method", "BREW", "/health", http.StatusMethodNotAllowed, "GET, HEAD, OPTIONS", "method_not_allowed"},
		{"bad topic", http.MethodGet, "/stream?topic=..", http.StatusBadRequest, "", "bad_topic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer := p.Do(tc.method, tc.path)
			assert.Equal(t, tc.status, answer.Status)
			assert.Equal(t, tc.allow, answer.Header.Get("Allow"))
			assert.Equal(t, "application/json", answer.Header.Get("Content-Type"))
			if tc.code != "" {
				assert.Contains(t, answer.Body, `"error":"`+tc.code+`"`)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	server := natstest.Start(t)
	const ours, theirs = "https://app.example.com", "https://evil.example"
	for _, tc := range []struct {
		name, origins, origin string
		allowed, credentials  string
	}{
		{"no origins by default", "", ours, "", ""},
		{"a named origin, with credentials", ours, ours, ours, "true"},
		{"another origin", ours, theirs, "", ""},
		{"all origins, without credentials", "*", theirs, "*", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, server.URL(), map[string]string{"CORS_ORIGINS": tc.origins})
			p.WaitReady()
			preflight := p.Do(http.MethodOptions, "/stream", "Origin", tc.origin,
				"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "last-event-id")
			client := p.Open("/stream", false, "Origin", tc.origin)
			for what, header := range map[string]http.Header{"preflight": preflight.Header, "stream": client.Answer.Header} {
				assert.Equal(t, tc.allowed, header.Get("Access-Control-Allow-Origin"), what)
				assert.Equal(t, tc.credentials, header.Get("Access-Control-Allow-Credentials"), what)
			}
			if tc.allowed != "" {
				assert.Equal(t, "last-event-id", preflight.Header.Get("Access-Control-Allow-Headers"))
			}
			require.NoError(t, p.Stop())
		})
	}
}

// TestOneHTTP2ConnectionCarriesManyStreams is what a proxy does that speaks h2c
// to the edge: Go's own limit would be 250 streams.
func TestOneHTTP2ConnectionCarriesManyStreams(t *testing.T) {
	const streams = 300
	p := start(t, natstest.Start(t).URL(), map[string]string{"MAX_CONNECTIONS": "400", "DRAIN_TIMEOUT": "500ms"})
	p.WaitReady()
	var dials atomic.Int32
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	for range streams {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/stream", http.NoBody)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	assert.EqualValues(t, 1, dials.Load())
	assert.Contains(t, p.Do(http.MethodGet, "/metrics").Body, `sse_connected_clients{way="http"} 300`)
}

func TestHealthcheck(t *testing.T) {
	server := natstest.Start(t)
	url := server.URL()
	server.Stop()
	p := start(t, url, nil)
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL(), "http://"), ":")
	check := func(args ...string) error {
		return cmdtest.Start(t, run, map[string]string{"HOST": "0.0.0.0", "PORT": port}, append([]string{"healthcheck"}, args...)...).Wait()
	}
	assert.NoError(t, check())
	assert.ErrorContains(t, check("--ready"), "not connected to NATS")
	server.Restart()
	p.WaitReady()
	assert.NoError(t, check("--ready"))
	require.NoError(t, p.Stop())
	assert.ErrorContains(t, check(), "PORT "+port)
}

func TestEdgeDoesNotLinkTheNATSServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	deps := strings.Fields(string(out))
	assert.Contains(t, deps, "github.com/nats-io/nats.go")
	assert.NotContains(t, deps, "github.com/nats-io/nats-server/v2/server")
}
