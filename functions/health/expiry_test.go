package health_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestRecordsExpireByThemselves: the bucket has no markers of what has expired.
func TestRecordsExpireByThemselves(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	kv, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	e := startEdge(t, s.Connect(t))
	write := func(name, state string, every int64) {
		r := event.Producer{Name: name, State: state, EverySecs: every}
		record(t, js, r, r.TTL())
	}
	write("weekly", event.ProducerOK, 3600)
	e.eventually(t, "all are read", func(s state) bool {
		// Renewed until they have been read, then no more.
		write(event.DefaultProducer, event.ProducerRunning, 1)
		write("nightly", event.ProducerOK, 1)
		return s.Producers[event.DefaultProducer] == "running" && s.Producers["nightly"] == "idle" && s.Producers["weekly"] == "idle"
	})

	want := map[string]string{"event_producer": "missing", "heartbeat_producer": "running", "weekly": "idle"}
	expired := func(s state) bool {
		return s.Producers[event.DefaultProducer] == "missing" && s.Producers["nightly"] == ""
	}
	assert.Equal(t, want, e.eventually(t, "both have expired", expired).Producers)
	require.Eventually(t, func() bool {
		_, err := kv.Get(t.Context(), "nightly")
		return errors.Is(err, jetstream.ErrKeyNotFound)
	}, natstest.Patience, 10*time.Millisecond, "NATS has removed it too")

	later := startEdge(t, s.Connect(t))
	got := later.eventually(t, "what is left is read", func(s state) bool { return s.Producers["weekly"] == "idle" })
	assert.Equal(t, want, got.Producers)

	write("nightly", event.ProducerFailed, 3600)
	e.eventually(t, "a producer comes back", func(s state) bool { return s.Producers["nightly"] == "failed" })
}

// TestAnOldRecordIsNoNewOne to an edge that starts later: NATS had it long before.
func TestAnOldRecordIsNoNewOne(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	old := event.Producer{Name: "old", State: event.ProducerOK, EverySecs: 1}
	record(t, js, old, time.Hour) // longer than its own, so that it is there
	record(t, js, event.Producer{Name: "weekly", State: event.ProducerOK, EverySecs: 3600}, time.Hour)
	first := startEdge(t, s.Connect(t))
	first.eventually(t, "both are read", func(s state) bool { return s.Producers["old"] == "idle" && s.Producers["weekly"] == "idle" })
	first.eventually(t, "its time is over", func(s state) bool { return s.Producers["old"] == "" })
	later := startEdge(t, s.Connect(t))
	got := later.eventually(t, "all are read", func(s state) bool { return s.Producers["weekly"] == "idle" })
	assert.NotContains(t, got.Producers, "old")
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
	record(t, js, event.Producer{Name: "new", State: event.ProducerOK}, time.Hour)
	got = e.eventually(t, "all are read again", func(s state) bool { return s.Producers["new"] == "idle" })
	assert.Equal(t, "missing", got.Producers[event.DefaultProducer], "its time is over, though NATS still has it")
	assert.Equal(t, "idle", got.Producers["daily"])
}
