package main

import (
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func testHost(t *testing.T) {
	e := newRig(t).edge(t, "HOST", "127.0.0.1")
	assert.Regexp(t, `^http://127\.0\.0\.1:\d+$`, e.URL(), "where it listens: not everywhere, as by default")
}

// testPort has a port that another program uses.
func testPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, taken, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	e := edgeOn(t, natstest.Start(t).URL(), "PORT", taken)
	require.Error(t, e.Wait())
	assert.Contains(t, e.Stderr(), "port "+taken+" (PORT) of 127.0.0.1 (HOST) is in use")
}

// testLogLevel: the edge is known to be up by the stream that it creates.
func testLogLevel(t *testing.T) {
	server := natstest.Start(t)
	js := server.JetStream(t)
	e := edgeOn(t, server.URL(), "LOG_LEVEL", "warn")
	e.Eventually(func() bool {
		_, err := js.Stream(t.Context(), event.DefaultStream)
		return err == nil
	})
	require.NoError(t, e.Stop())
	assert.NotContains(t, e.Stderr(), `"level":"INFO"`)
}

func testMetricsAddr(t *testing.T) {
	e := newRig(t).edge(t, "METRICS_ADDR", "127.0.0.1:0")
	assert.Equal(t, http.StatusNotFound, e.Do(http.MethodGet, "/metrics").Status)
	addr := "http://" + e.Logged("listening for metrics")["addr"].(string)
	assert.Contains(t, cmdtest.Do(t, http.MethodGet, addr+"/metrics").Body, "sse_connected_clients")
	assert.Equal(t, http.StatusNotFound, cmdtest.Do(t, http.MethodGet, addr+"/stream").Status)
}

func testFunctions(t *testing.T) {
	e := newRig(t).edge(t, "FUNCTIONS", "console")
	for path, status := range map[string]int{"/console": 200, "/stream": 404, "/health": 404, "/livez": 200} {
		assert.Equal(t, status, e.Do(http.MethodGet, path).Status, path)
	}
}

func testCorsOrigins(t *testing.T) {
	const ours = "https://app.example.com"
	e := newRig(t).edge(t, "CORS_ORIGINS", ours)
	assert.Equal(t, ours, e.Do(http.MethodGet, "/health", "Origin", ours).Header.Get("Access-Control-Allow-Origin"))
}

// testDrainTimeout ends two edges under clients that take nothing. When one has
// given up, the other still answers.
func testDrainTimeout(t *testing.T) {
	r := newLargeRig(t)
	r.log.Publish("a")
	start := func(timeout string) *edge {
		e := r.edge(t, noLimits("MAX_EVENT_BYTES", "1000000", "DRAIN_TIMEOUT", timeout)...)
		e.Stick(streamtest.Query{Topics: []string{"a"}, LastID: r.log.ID(0)})
		return e
	}
	soon, late := start("200ms"), start("10m")
	late.Terminate()
	require.NoError(t, soon.Stop())
	assert.Len(t, soon.Records("clients did not take their last block in time and are cut"), 1)
	assert.Equal(t, []string{"closed"}, soon.ends("a"))
	for range 5 {
		assert.Contains(t, late.Do(http.MethodGet, "/stream").Body, `"drain"`)
	}
	require.Empty(t, late.ends("a"))
}

var lagging = regexp.MustCompile(`(\d+) events behind, READY_LAG allows 10"`)

// testReadyLag pauses the consumers of two edges, so that events come which they
// have not read: both say so, one is not ready.
func testReadyLag(t *testing.T) {
	r := newRig(t)
	strict, patient := r.edge(t, "READY_LAG", "10"), r.edge(t, "READY_LAG", "1000000000")
	strict.Eventually(func() bool {
		// An edge that gets nothing makes itself another consumer in the end.
		r.pause(t)
		r.log.PublishN(20, "a")
		strictly, patiently := strict.Do(http.MethodGet, "/readyz"), patient.Do(http.MethodGet, "/health")
		return strictly.Status == http.StatusServiceUnavailable && lagging.MatchString(strictly.Body) &&
			patiently.Status == http.StatusOK && !strings.Contains(patiently.Body, `"lag": 0`)
	})
	strict.WaitReady() // when it has read them
	strict.Eventually(func() bool { return strings.Contains(strict.Do(http.MethodGet, "/health").Body, `"lag": 0`) })
}

// pause has JetStream deliver nothing more to the edges that read now.
func (r *rig) pause(t *testing.T) {
	t.Helper()
	s, err := r.log.JS.Stream(t.Context(), r.log.Stream)
	require.NoError(t, err)
	names := s.ConsumerNames(t.Context())
	for name := range names.Name() {
		if strings.Contains(name, "_feed_") {
			_, _ = s.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour)) // it may be gone by now
		}
	}
	require.NoError(t, names.Err())
}
