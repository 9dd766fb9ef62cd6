package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
)

// What requests of FuzzSurface are made of.
var (
	surfaceMethods = []string{"GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "PUT", "TRACE", "CONNECT"}
	surfacePaths   = []string{"/stream", "/stream", "/stream", "/", "/health", "/livez", "/readyz", "/console", "/console/console.js", "/metrics", "/nothing", "/stream/", "//stream", "/%73tream"}
	surfaceParams  = []string{"topic", "topic[]", "since", "from", "last", "last_event_id", "lastEventId", "format", "busy", "id", "access_token", "topics", "_", "Last-Event-ID"}
	surfaceHeaders = []string{"Last-Event-ID", "Accept", "Authorization", "Origin", "X-Forwarded-For", "Forwarded", "Cookie", "User-Agent", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Content-Encoding", "Expect", "Upgrade", "Range"}
	knownWord      = regexp.MustCompile(`^[a-z_]+$`)
)

// canary is what no answer, log or metric may have.
const canary = "canary-5f1d7c"

// surface is an edge that serves all functions, and a token for it.
type surface struct {
	*cmdtest.Process
	url   string
	token string
}

func newSurface(tb testing.TB) *surface {
	tb.Helper()
	server := natstest.Start(tb)
	s := &surface{Process: cmdtest.Start(tb, run, map[string]string{
		"NATS_URL": server.URL(), "DRAIN_TIMEOUT": "100ms", "FUNCTIONS": "stream,health,console", "LOG_LEVEL": "debug", "HEARTBEAT_INTERVAL": "1s",
		"AUTH": "jwt", "JWT_SECRET": secret, "AUTH_QUERY": "true", "AUTH_COOKIE": "session",
		"CORS_ORIGINS": "https://a.example,null", "TRUSTED_PROXIES": "loopback", "MAX_TOPIC_SETS": "100",
	}), token: signed(tb, claims("alice", "sluice", map[string]any{"subscribe": []string{">"}, "deny": []string{"secret.>"}}))}
	s.WaitReady()
	s.url = s.URL() // it is not to be asked for while the fuzzer runs
	return s
}

// request makes a request of a shape, of which each byte chooses something, and two
// texts. It is nil when Go's own client would not send it.
func (s *surface) request(shape []byte, a, b string) *http.Request {
	at := 0
	next := func(n int) int {
		if at >= len(shape) {
			return 0
		}
		at++
		return int(shape[at-1]) % n
	}
	plain := []string{a, b, a + b, "text/event-stream", "https://a.example", "start", "1h"}
	secrets := append([]string{canary, "Bearer " + canary, s.token, "Bearer " + s.token, "session=" + s.token, "session=" + canary}, plain...)
	text := func(name string) string {
		switch name { // only what is for a secret gets one: all else may be told again
		case "access_token", "Authorization", "Cookie":
			return secrets[next(len(secrets))]
		}
		return plain[next(len(plain))]
	}
	r, err := http.NewRequest(surfaceMethods[next(len(surfaceMethods))], s.url+surfacePaths[next(len(surfacePaths))], http.NoBody)
	if err != nil {
		return nil
	}
	var query []string
	for range next(5) {
		name := surfaceParams[next(len(surfaceParams))]
		query = append(query, name+"="+strings.NewReplacer(" ", "%20", "\n", "%0a", "\r", "%0d").Replace(text(name)))
	}
	r.URL.RawQuery = strings.Join(query, "&")
	for range next(5) {
		name := surfaceHeaders[next(len(surfaceHeaders))]
		r.Header.Add(name, text(name))
	}
	if next(4) == 0 {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(a)), int64(len(a))
	}
	return r
}

// FuzzSurface is of requests, not of bytes: whatever is asked for, in HTTP/1.1 and HTTP/2, the answer is one that
// README.md tells, is not sniffed, and says nothing that is secret.
func FuzzSurface(f *testing.F) {
	s := newSurface(f)
	f.Cleanup(func() {
		if all := s.Stderr(); strings.Contains(all, canary) || strings.Contains(all, s.token[:30]) || strings.Contains(all, "panic") {
			f.Error("the log has a token or a panic")
		}
	})
	f.Add([]byte{0, 0, 1, 0, 0, 1, 2, 4}, "metric.>", "x")
	f.Add([]byte{0, 0, 2, 2, 0, 10, 5, 0}, "2026-01-02T15:04:05Z", "")
	f.Add([]byte{0, 0, 1, 10, 3, 3, 2, 6, 0, 0, 4, 0}, "10.0.0.1, for=x", "\r\nX: y")
	f.Add([]byte{5, 0, 0, 4, 3, 8, 8, 0, 9, 0, 0}, "GET", "baggage")
	f.Add([]byte{0, 9, 0, 1, 2, 4}, "", "")
	f.Add([]byte("0020C"), "0", "0")
	f.Add([]byte("0C"), "0", "0")
	var clients []http.RoundTripper
	for _, h2 := range []bool{false, true} {
		t := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: !h2}
		t.Protocols.SetHTTP1(!h2)
		t.Protocols.SetUnencryptedHTTP2(h2)
		f.Cleanup(t.CloseIdleConnections)
		clients = append(clients, t)
	}
	f.Fuzz(func(t *testing.T, shape []byte, a, b string) {
		for _, client := range clients {
			r := s.request(shape, a, b)
			if r == nil {
				return
			}
			resp, err := client.RoundTrip(r.WithContext(t.Context()))
			if err != nil {
				continue // the client would not send it, or the edge closed at once
			}
			s.check(t, r, resp)
			_ = resp.Body.Close()
		}
	})
}

// check wants an answer that README.md tells.
func (s *surface) check(t *testing.T, r *http.Request, resp *http.Response) {
	t.Helper()
	what := r.Method + " " + r.URL.String()
	require.Equal(t, []string{"nosniff"}, resp.Header.Values("X-Content-Type-Options"), what)
	for name, values := range resp.Header {
		require.NotContains(t, strings.Join(values, " "), canary, "%s: %s", what, name)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusNotModified, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect: // httprouter, to the path without a slash
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge, http.StatusServiceUnavailable:
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NotContains(t, string(text), canary, what)
		var e struct{ Error, Message string }
		if r.Method != http.MethodHead && resp.Header.Get("Content-Type") == "application/json" {
			require.NoError(t, json.Unmarshal(text, &e), what)
			require.Regexp(t, knownWord, e.Error)
			require.NotEmpty(t, e.Message)
		}
		return
	case http.StatusExpectationFailed:
		return
	default:
		require.Fail(t, "a status that is not told", "%s: %s", what, resp.Status)
	}
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NotContains(t, string(text), canary, what)
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	lines := bufio.NewReader(resp.Body)
	for line := "x"; line != "\n"; { // its first block
		var err error
		line, err = lines.ReadString('\n')
		require.NoError(t, err, what)
		name, _, _ := strings.Cut(line, ":")
		require.Contains(t, []string{"", "id", "event", "data", "retry", "\n"}, name, what)
	}
}
