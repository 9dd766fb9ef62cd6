package health_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestSeedsAnswers(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	record(t, js, event.Producer{Name: event.DefaultProducer, State: event.ProducerRunning}, time.Minute)
	e := startEdge(t, s.Connect(t))
	e.eventually(t, "the producer's record is read", func(s state) bool {
		return s.Producers[event.DefaultProducer] == "running"
	})

	status, body, res := e.get(t, "/")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
	assertHas(t, `{"status": "running", "clients": 5, "endpoints": {"stream": "/stream", "health": "/health"}}`, body)

	status, body, _ = e.get(t, "/health")
	assert.Equal(t, http.StatusOK, status)
	assertHas(t, `{"status": "healthy", "connected_clients": 5,
		"producers": {"event_producer": "running", "heartbeat_producer": "running"},
		"instances": 1, "fleet": "fresh", "nats": "connected",
		"stream": {"name": "EVENTS", "first_seq": 3, "last_seq": 42, "lag": 0}}`, body)
	assert.NotContains(t, body, "age_ms")

	status, body, _ = e.get(t, "/livez")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"status": "alive"}`, body)

	status, body, _ = e.get(t, "/readyz")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"status": "ready"}`, body)

	status, body, _ = e.ask(t, http.MethodHead, "/health")
	assert.Equal(t, http.StatusOK, status)
	assert.Empty(t, body)
}

// assertHas asserts that the JSON object got has everything that want has.
func assertHas(t *testing.T, want, got string) {
	t.Helper()
	var w, g map[string]any
	require.NoError(t, json.Unmarshal([]byte(want), &w))
	require.NoError(t, json.Unmarshal([]byte(got), &g), got)
	var has func(path string, want, got map[string]any)
	has = func(path string, want, got map[string]any) {
		for k, v := range want {
			if object, ok := v.(map[string]any); ok {
				inner, _ := got[k].(map[string]any)
				has(path+"."+k, object, inner)
				continue
			}
			assert.Equal(t, v, got[k], path+"."+k)
		}
	}
	has("", w, g)
}

func TestRootForBrowsers(t *testing.T) {
	s, _ := startNATS(t)
	with := startEdge(t, s.Connect(t))
	without := startEdge(t, s.Connect(t), func(c *health.Config) { c.Console = false })

	for _, test := range []struct {
		name, accept string
		html         bool
	}{
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
		{"curl", "*/*", false},
		{"nothing asked for", "", false},
		{"JSON rather than a page", "text/html;q=0.5, application/json", false},
		{"a page refused", "text/html;q=0", false},
		{"nonsense", "text/html;q=x,;;,", false},
		{"a page rather than JSON", "application/json;q=0.8, text/html;q=0.9", true},
		{"either, a page first", "text/html, application/json", true},
		{"in capitals", "TEXT/HTML", true},
		{"something else", "image/png", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body, res := with.get(t, "/", "Accept", test.accept)
			assert.Equal(t, http.StatusOK, status)
			assert.Equal(t, "Accept", res.Header.Get("Vary"))
			if !test.html {
				assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
				assertHas(t, `{"endpoints": {"console": "/console"}}`, body)
				return
			}
			assert.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
			assert.Contains(t, body, `href="console"`)
		})
	}

	_, body, _ := without.get(t, "/", "Accept", "text/html")
	assert.NotContains(t, body, "console")
	_, body, _ = without.get(t, "/")
	assert.NotContains(t, body, "console")
}

func TestReadiness(t *testing.T) {
	s, _ := startNATS(t)
	e := startEdge(t, s.Connect(t), func(c *health.Config) { c.ReadyLag = 10 })
	for _, test := range []struct {
		name   string
		change func(*health.Local)
		check  string
		says   string
	}{
		{"no stream", func(l *health.Local) { l.Present = false }, "stream", "EVENTS"},
		{"ring not loaded", func(l *health.Local) { l.Loaded = false }, "loaded", "loaded"},
		{"feed behind", func(l *health.Local) { l.Lag = 11 }, "lag", "11 events behind, READY_LAG allows 10"},
		{"draining", func(l *health.Local) { l.Draining = true }, "draining", "end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e.set(test.change)
			defer e.set(func(l *health.Local) { *l = healthy() })
			probe := e.readyz(t)
			assert.Equal(t, http.StatusServiceUnavailable, probe.code)
			assert.Equal(t, "not ready", probe.Status)
			require.Len(t, probe.Failing, 1)
			assert.Contains(t, probe.Failing[test.check], test.says)

			state := e.health(t)
			assert.Equal(t, http.StatusServiceUnavailable, state.code)
			assert.Equal(t, "unhealthy", state.Status)
			assert.Equal(t, probe.Failing, state.Failing)

			status, _, _ := e.get(t, "/livez")
			assert.Equal(t, http.StatusOK, status, "the process itself is well")
		})
	}

	t.Run("as far behind as allowed", func(t *testing.T) {
		e.set(func(l *health.Local) { l.Lag = 10 })
		status, _, _ := e.get(t, "/readyz")
		assert.Equal(t, http.StatusOK, status)
	})
	t.Run("after Drain", func(t *testing.T) {
		e.Drain()
		status, body, _ := e.get(t, "/readyz")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assertHas(t, `{"failing": {"draining": "the process is about to end"}}`, body)
	})
}

func TestOutageOfNATS(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	record(t, js, event.Producer{Name: "nightly", State: event.ProducerOK}, time.Hour)
	e, other := startEdge(t, s.Connect(t)), startEdge(t, s.Connect(t))
	whole := func(s state) bool {
		return s.Instances == 2 && s.Producers["nightly"] == "idle" && s.code == http.StatusOK
	}
	e.eventually(t, "the fleet is whole", whole)
	other.set(func(l *health.Local) { l.Clients = 7 })

	s.Stop()
	down := e.eventually(t, "the outage is seen", func(s state) bool { return s.Fleet == "stale" })
	assert.Equal(t, http.StatusServiceUnavailable, down.code)
	assert.Equal(t, "disconnected", down.NATS)
	assert.Contains(t, down.Failing, "nats")
	assert.Greater(t, down.AgeMS, int64(1000))
	assert.Equal(t, 2, down.Instances, "what was known stays")
	assert.Equal(t, "idle", down.Producers["nightly"])

	s.Restart()
	e.eventually(t, "all is well again", func(s state) bool { return whole(s) && s.ConnectedClients == 12 && s.Fleet == "fresh" })
	record(t, js, event.Producer{Name: "nightly", State: event.ProducerFailed}, time.Hour)
	e.eventually(t, "records are followed again", func(s state) bool { return s.Producers["nightly"] == "failed" })
}

func TestStartWithoutNATS(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := natstest.Start(t)
	url := s.URL()
	s.Stop()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	require.NoError(t, err)
	defer nc.Close()
	e := startEdge(t, nc, func(c *health.Config) { c.CreateBucket = true })
	down := e.health(t)
	assert.Equal(t, http.StatusServiceUnavailable, down.code)
	assert.Equal(t, "unknown", down.Fleet)
	assert.Equal(t, 5, down.ConnectedClients)
	assert.Equal(t, map[string]string{"event_producer": "missing", "heartbeat_producer": "running"}, down.Producers)
	assert.Equal(t, 5, e.Clients())

	s.Restart()
	e.eventually(t, "all is well", func(s state) bool { return s.code == http.StatusOK && s.Fleet == "fresh" })
	js := s.JetStream(t)
	require.Eventually(t, func() bool {
		_, err := js.KeyValue(t.Context(), event.ProducersBucket)
		return err == nil
	}, natstest.Patience, 10*time.Millisecond, "the bucket is made")

	s.Stop()
	e.stop() // returns also while NATS is down
}

func TestProcessWithoutStreams(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	startEdge(t, s.Connect(t))
	alone := startEdge(t, s.Connect(t), func(c *health.Config) { c.Local = nil })

	got := alone.eventually(t, "the fleet is counted", func(s state) bool { return s.ConnectedClients == 5 })
	assert.Equal(t, 2, got.Instances)
	assert.Equal(t, "running", got.Producers["heartbeat_producer"], "the other one's")
	assert.Equal(t, map[string]string{"stream": "the JetStream stream EVENTS is not there or not read yet"}, got.Failing)

	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	for range 2 {
		_, err = js.Publish(t.Context(), event.Subject("metric.cpu"), []byte("1"))
		require.NoError(t, err)
	}
	alone.eventually(t, "the stream is seen", func(s state) bool { return s.code == http.StatusOK })
	alone.eventually(t, "its newest event is seen", func(s state) bool { return s.Stream.LastSeq == 2 })
	status, _, _ := alone.get(t, "/readyz")
	assert.Equal(t, http.StatusOK, status)
}
