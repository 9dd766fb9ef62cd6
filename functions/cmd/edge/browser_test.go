package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
)

// TestNoAnswerIsSniffed: whatever is asked for and however it goes, a browser is
// not to guess what it is (WHATWG Fetch, 3.6).
func TestNoAnswerIsSniffed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.guarded(t, "FUNCTIONS", "stream,health,console", "CORS_ORIGINS", "https://a.example", "AUTH_QUERY", "true", "METRICS_ADDR", "127.0.0.1:0")
	text := "access_token=" + signed(t, claims("alice"))
	sniffed := func(what string, h http.Header) {
		t.Helper()
		assert.Equal(t, []string{"nosniff"}, h.Values("X-Content-Type-Options"), what)
	}
	for _, path := range []string{
		"/", "/health", "/livez", "/readyz", "/console", "/console/console.js", "/nothing", "/console/", "/metrics",
		"/stream", "/stream?" + text + "&topic=..", "/stream?" + text + "&topic=x", "/stream?%zz",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions} {
			sniffed(method+" "+path, e.Do(method, path).Header)
		}
	}
	for _, h2c := range []bool{false, true} {
		c := e.Open("/stream?"+text, h2c, "Origin", "https://a.example")
		sniffed("a stream", c.Answer.Header)
		assert.Equal(t, "https://a.example", c.Answer.Header.Get("Access-Control-Allow-Origin"))
	}
	sniffed("metrics", cmdtest.Do(t, http.MethodGet, "http://"+e.Logged("listening for metrics")["addr"].(string)+"/metrics").Header)
	for _, raw := range []string{
		"GET /stream?" + text + " HTTP/1.0\r\n\r\n", "GET /stream HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\nExpect: all\r\n\r\n", "GET / HTTP/1.0\r\nExpect: all\r\n\r\n", "nonsense\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
	} {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(e.URL(), "http://"), natstest.Patience)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
		_, _ = io.WriteString(conn, raw) // it may be closed before all is sent
		head := make([]byte, 4096)
		n, err := io.ReadAtLeast(conn, head, 100)
		require.NoError(t, err)
		assert.Contains(t, string(head[:n]), "\r\nX-Content-Type-Options: nosniff\r\n", raw[:10])
		_ = conn.Close()
	}
}

// TestWhatPagesMaySend: what an edge reads, and what tracing adds; also to an edge
// in a private network (WICG Private Network Access), and none of it for a page
// that is not named.
func TestWhatPagesMaySend(t *testing.T) {
	t.Parallel()
	e := newRig(t).edge(t, "CORS_ORIGINS", "https://a.example,null")
	preflight := func(origin, headers string) http.Header {
		return e.Do(http.MethodOptions, "/stream", "Origin", origin, "Access-Control-Request-Method", "GET",
			"Access-Control-Request-Headers", headers, "Access-Control-Request-Private-Network", "true").Header
	}
	const all = "accept,authorization,baggage,cache-control,content-type,last-event-id,sentry-trace,traceparent,tracestate"
	h := preflight("https://a.example", all)
	assert.Equal(t, "https://a.example", h.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, all, h.Get("Access-Control-Allow-Headers"))
	assert.Equal(t, "true", h.Get("Access-Control-Allow-Private-Network"))
	assert.Equal(t, "true", h.Get("Access-Control-Allow-Credentials"))
	assert.Contains(t, h.Get("Vary"), "Origin")
	assert.Empty(t, preflight("https://a.example", "x-other").Get("Access-Control-Allow-Headers"))
	file := preflight("null", all)
	assert.Equal(t, "null", file.Get("Access-Control-Allow-Origin"))
	assert.Empty(t, file.Get("Access-Control-Allow-Credentials"), "any page can be of that origin")
	for _, other := range []string{"https://b.example", "https://a.example.evil", "https://a.example:444", "http://a.example"} {
		h := preflight(other, all)
		assert.Empty(t, h.Get("Access-Control-Allow-Origin"), other)
		assert.Contains(t, h.Get("Vary"), "Origin")
	}
	refused := e.Do(http.MethodGet, "/stream?topic=..", "Origin", "https://a.example")
	assert.Equal(t, http.StatusBadRequest, refused.Status)
	assert.Equal(t, "https://a.example", refused.Header.Get("Access-Control-Allow-Origin"), "its page may read why")
}
