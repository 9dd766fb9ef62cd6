package health_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestProducerStates(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	e := startEdge(t, s.Connect(t))
	assert.Equal(t, map[string]string{"event_producer": "missing", "heartbeat_producer": "running"}, e.health(t).Producers,
		"without a bucket")

	kv, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	for _, test := range []struct {
		name   string
		record event.Producer
		want   string
	}{
		{"a run is on", event.Producer{Name: event.DefaultProducer, State: event.ProducerRunning}, "running"},
		{"the last run went well", event.Producer{Name: event.DefaultProducer, State: event.ProducerOK}, "idle"},
		{"the last run failed", event.Producer{Name: event.DefaultProducer, State: event.ProducerFailed}, "failed"},
		{"another producer", event.Producer{Name: "nightly-report", State: event.ProducerOK}, "idle"},
		{"an unknown state", event.Producer{Name: event.DefaultProducer, State: "asleep"}, "missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record(t, js, test.record, time.Hour)
			e.eventually(t, test.name, func(s state) bool { return s.Producers[test.record.Name] == test.want })
		})
	}

	t.Run("what is no record of a producer is not shown", func(t *testing.T) {
		record(t, js, event.Producer{Name: "heartbeat_producer", State: event.ProducerFailed}, time.Hour)
		record(t, js, event.Producer{Name: "a.b", State: event.ProducerOK}, time.Hour)
		_, err := kv.PutString(t.Context(), "broken", "{")
		require.NoError(t, err)
		record(t, js, event.Producer{Name: "last", State: event.ProducerOK}, time.Hour)
		got := e.eventually(t, "the last one is seen", func(s state) bool { return s.Producers["last"] == "idle" })
		assert.Equal(t, map[string]string{
			"event_producer": "missing", "heartbeat_producer": "running", "nightly-report": "idle", "last": "idle",
		}, got.Producers)
	})

	t.Run("a deleted record is missing", func(t *testing.T) {
		require.NoError(t, kv.Delete(t.Context(), "last"))
		e.eventually(t, "it is gone", func(s state) bool { return s.Producers["last"] == "" })
	})

	t.Run("one that does not come any more is missing", func(t *testing.T) {
		e.eventually(t, "it is seen", func(s state) bool {
			record(t, js, event.Producer{Name: event.DefaultProducer, State: event.ProducerRunning, EverySecs: 1}, 3*time.Second)
			return s.Producers[event.DefaultProducer] == "running"
		})
		e.eventually(t, "it is gone", func(s state) bool { return s.Producers[event.DefaultProducer] == "missing" })
	})
}

func TestProducersAreBounded(t *testing.T) {
	s, js := startNATS(t)
	_, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)
	for i := range 110 {
		record(t, js, event.Producer{Name: fmt.Sprint("p", i), State: event.ProducerOK}, time.Hour)
	}
	record(t, js, event.Producer{Name: event.DefaultProducer, State: event.ProducerOK}, time.Hour)
	e := startEdge(t, s.Connect(t))
	got := e.eventually(t, "all are read", func(s state) bool { return s.Producers[event.DefaultProducer] == "idle" })
	assert.Len(t, got.Producers, 102, "100 and the two that are always there")
}

func TestAnotherBucketIsFollowed(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	recreate := func() {
		natstest.Recreate(t, func() error {
			_, err := event.EnsureProducers(t.Context(), js, 1)
			return err
		})
	}
	recreate()
	record(t, js, event.Producer{Name: "old", State: event.ProducerOK}, time.Hour)
	e := startEdge(t, s.Connect(t))
	e.eventually(t, "the old one is read", func(s state) bool { return s.Producers["old"] == "idle" })

	require.NoError(t, js.DeleteKeyValue(t.Context(), event.ProducersBucket))
	e.eventually(t, "it is gone", func(s state) bool { return s.Producers["old"] == "" })

	recreate()
	record(t, js, event.Producer{Name: "new", State: event.ProducerOK}, time.Hour)
	e.eventually(t, "the new one is read", func(s state) bool { return s.Producers["new"] == "idle" })

	require.NoError(t, js.DeleteKeyValue(t.Context(), event.ProducersBucket))
	recreate()
	record(t, js, event.Producer{Name: "newest", State: event.ProducerOK}, time.Hour)
	e.eventually(t, "one that took its place between two looks is read", func(s state) bool {
		return s.Producers["newest"] == "idle" && s.Producers["new"] == ""
	})
}

// edgeRights is what an edge's health needs of NATS, and nothing else.
var edgeRights = server.Permissions{
	Publish: &server.SubjectPermission{Allow: []string{
		"$SRV.STATS.sluice-edge",
		"$JS.API.STREAM.INFO.KV_" + event.ProducersBucket,
		"$JS.API.CONSUMER.CREATE.KV_" + event.ProducersBucket + ".>",
		"$JS.API.CONSUMER.DELETE.KV_" + event.ProducersBucket + ".>",
		"$JS.FC.KV_" + event.ProducersBucket + ".>",
	}},
	Subscribe: &server.SubjectPermission{Allow: []string{"$SRV.>", "_INBOX_edge.>"}},
	Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: 5 * time.Second},
}

func TestReadOnlyRights(t *testing.T) {
	s := natstest.Start(t, func(o *natsembed.Options) {
		o.Configure = func(o *server.Options) {
			o.Users = []*server.User{
				{Username: "edge", Password: "e", Permissions: &edgeRights},
				{Username: "admin", Password: "a"},
			}
		}
	})
	var denied atomic.Int32
	connect := func() *nats.Conn {
		return s.Connect(t, nats.UserInfo("edge", "e"), nats.CustomInboxPrefix("_INBOX_edge"),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrPermissionViolation) {
					t.Log(err)
					denied.Add(1)
				}
			}))
	}
	nc := s.Connect(t, nats.UserInfo("admin", "a"))
	admin, err := jetstream.New(nc)
	require.NoError(t, err)
	var lookUps atomic.Int32
	_, err = nc.Subscribe("$JS.API.STREAM.INFO.KV_"+event.ProducersBucket, func(*nats.Msg) { lookUps.Add(1) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())

	one := startEdge(t, connect(), func(c *health.Config) { c.CreateBucket = true })
	require.Eventually(t, func() bool { return lookUps.Load() >= 4 }, natstest.Patience, 10*time.Millisecond)
	assert.EqualValues(t, 1, denied.Load(), "it tries to make the bucket, once")
	_, err = event.EnsureProducers(t.Context(), admin, 1)
	require.NoError(t, err)
	record(t, admin, event.Producer{Name: "nightly", State: event.ProducerOK}, time.Hour)
	two := startEdge(t, connect())
	for _, e := range []*edge{one, two} {
		e.eventually(t, "it sees the fleet and the producers", func(s state) bool {
			return s.Instances == 2 && s.ConnectedClients == 10 && s.Producers["nightly"] == "idle"
		})
	}
	one.stop()
	two.stop()
	assert.EqualValues(t, 1, denied.Load(), "nothing else was denied")
}
