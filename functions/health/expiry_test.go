package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestRecordThatNATSExpiresIsMissing(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	e := startEdge(t, s.Connect(t))
	// Both periods are long: only NATS can say that the records are too old.
	record(t, js, event.Producer{Name: "weekly", State: event.ProducerOK, EverySecs: 3600}, time.Hour)
	e.eventually(t, "all are read", func(s state) bool {
		// Renewed until they have been read, then no more.
		record(t, js, event.Producer{Name: event.DefaultProducer, State: event.ProducerRunning, EverySecs: 3600}, time.Second)
		record(t, js, event.Producer{Name: "nightly", State: event.ProducerOK, EverySecs: 3600}, time.Second)
		return s.Producers[event.DefaultProducer] == "running" && s.Producers["nightly"] == "idle" && s.Producers["weekly"] == "idle"
	})

	want := map[string]string{"event_producer": "missing", "heartbeat_producer": "running", "weekly": "idle"}
	expired := func(s state) bool {
		return s.Producers[event.DefaultProducer] == "missing" && s.Producers["nightly"] == ""
	}
	assert.Equal(t, want, e.eventually(t, "both have expired", expired).Producers)
	stream, err := js.Stream(t.Context(), "KV_"+event.ProducersBucket)
	require.NoError(t, err)
	marker, err := stream.GetLastMsgForSubject(t.Context(), event.ProducerSubject("nightly"))
	require.NoError(t, err)
	assert.Equal(t, "MaxAge", marker.Header.Get("Nats-Marker-Reason"), "the server's own marker has ended the record")

	later := startEdge(t, s.Connect(t))
	got := later.eventually(t, "what is left is read", func(s state) bool { return s.Producers["weekly"] == "idle" })
	assert.Equal(t, want, got.Producers, "markers are no records")

	record(t, js, event.Producer{Name: "nightly", State: event.ProducerFailed, EverySecs: 3600}, time.Hour)
	e.eventually(t, "a producer comes back", func(s state) bool { return s.Producers["nightly"] == "failed" })
}

func TestRecordExpiresAlsoWhileNATSIsDown(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	e := startEdge(t, s.Connect(t))
	daily := event.Producer{Name: "daily", State: event.ProducerOK, EverySecs: 24 * 3600}
	record(t, js, daily, time.Hour)
	written, r := time.Now(), event.Producer{Name: event.DefaultProducer, State: event.ProducerRunning, EverySecs: 1}
	record(t, js, r, time.Hour)
	e.eventually(t, "both are read", func(s state) bool {
		return s.Producers[event.DefaultProducer] == "running" && s.Producers["daily"] == "idle"
	})

	s.Stop()
	got := e.eventually(t, "it has expired", func(s state) bool { return s.Producers[event.DefaultProducer] == "missing" })
	assert.GreaterOrEqual(t, time.Since(written), r.TTL()+health.Grace, "not before its time")
	assert.Equal(t, "disconnected", got.NATS)
	assert.Equal(t, "idle", got.Producers["daily"], "the other one's time has not come")

	s.Restart()
	e.eventually(t, "it is there, for NATS still has it", func(s state) bool {
		return s.Producers[event.DefaultProducer] == "running"
	})
}
