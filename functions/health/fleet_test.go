package health_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
)

func TestFleetIsSummed(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, _ := startNATS(t)
	one, two := startEdge(t, s.Connect(t)), startEdge(t, s.Connect(t), func(c *health.Config) { c.Version = "dev" })
	foreign := startEdge(t, s.Connect(t), func(c *health.Config) {
		local := c.Local
		c.Local = func() health.Local {
			l := local()
			l.Stream = "OTHER"
			return l
		}
	})
	two.set(func(l *health.Local) { l.Clients = 30 })

	for _, e := range []*edge{one, two} {
		got := e.eventually(t, "both are counted", func(s state) bool { return s.Instances == 2 && s.ConnectedClients == 35 })
		assert.Equal(t, "fresh", got.Fleet)
	}
	got := foreign.eventually(t, "it is counted", func(s state) bool { return s.Fleet == "fresh" })
	assert.Equal(t, 1, got.Instances, "another stream is another fleet")

	one.set(func(l *health.Local) { l.Clients = 6 })
	assert.Equal(t, 36, one.Clients(), "the own count is never old")
	require.Eventually(t, func() bool { return two.Clients() == 36 }, natstest.Patience, 10*time.Millisecond)

	one.stop()
	two.eventually(t, "who left is not counted", func(s state) bool { return s.Instances == 1 && s.ConnectedClients == 30 })
}

func TestAnswersThatDoNotCount(t *testing.T) {
	s, _ := startNATS(t)
	const answer = `{"id": "odd", "metadata": {"stream": "EVENTS"}, "endpoints": [{"data": {"clients": 7}}]}`
	odd := s.Connect(t)
	_, err := odd.Subscribe(micro.APIPrefix+".STATS.sluice-edge", func(m *nats.Msg) {
		for _, text := range []string{"{", `{"id": "bare", "metadata": {"stream": "EVENTS"}}`, answer, answer} {
			_ = m.Respond([]byte(text)) // fails only when the test is over
		}
	})
	require.NoError(t, err)
	require.NoError(t, odd.Flush())
	e := startEdge(t, s.Connect(t))
	got := e.eventually(t, "the fleet is counted", func(s state) bool { return s.Fleet == "fresh" && s.Instances > 1 })
	assert.Equal(t, 2, got.Instances, "an instance that answers twice is one")
	assert.Equal(t, 12, got.ConnectedClients)
}

func TestFirstAnswerCountsTheFleet(t *testing.T) {
	s, _ := startNATS(t)
	one, two := startEdge(t, s.Connect(t)), startEdge(t, s.Connect(t))
	// two is in the fleet as soon as one sees it; nobody has asked two so far.
	one.eventually(t, "both are counted", func(s state) bool { return s.Instances == 2 })
	got := two.health(t)
	assert.Equal(t, 2, got.Instances)
	assert.Equal(t, 10, got.ConnectedClients)
}

func TestFleetIsAskedOnlyOnDemand(t *testing.T) {
	s, _ := startNATS(t)
	asked := make(chan time.Time, 100)
	watch := s.Connect(t)
	_, err := watch.Subscribe(micro.APIPrefix+".STATS.sluice-edge", func(*nats.Msg) { asked <- time.Now() })
	require.NoError(t, err)
	require.NoError(t, watch.Flush())
	e := startEdge(t, s.Connect(t), func(c *health.Config) { c.Heartbeat = 100 * time.Millisecond })

	ask, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // as often as it can
		defer close(done)
		for ask.Err() == nil {
			e.Clients()
		}
	}()
	first, second := receive(t, asked, "the first count"), receive(t, asked, "the second count")
	assert.Greater(t, second.Sub(first), 500*time.Millisecond, "at most once a second")
	stop()
	receive(t, done, "the one who asks ends")
	stopped := time.Now()

	for quiet, waits := time.After(1500*time.Millisecond), true; waits; {
		select {
		case at := <-asked: // one that was on its way may still come
			assert.Less(t, at.Sub(stopped), 900*time.Millisecond, "asked though nobody wants to know")
		case <-quiet:
			waits = false
		}
	}
	e.Clients()
	receive(t, asked, "asked, for somebody wants to know")
}

func TestServiceShowsTheInstance(t *testing.T) {
	s, _ := startNATS(t)
	nc := s.Connect(t)
	e := startEdge(t, s.Connect(t))
	e.set(func(l *health.Local) { l.Position, l.Lag = 40, 2 })
	e.eventually(t, "it has joined", func(s state) bool { return s.Fleet == "fresh" })

	reply, err := nc.Request("$SRV.INFO.sluice-edge", nil, natstest.Patience)
	require.NoError(t, err)
	assertHas(t, `{"version": "1.2.3", "metadata": {"stream": "EVENTS", "instance": "TestServiceShowsTheInstance"}}`, string(reply.Data))
	reply, err = nc.Request("$SRV.STATUS.sluice-edge", nil, natstest.Patience)
	require.NoError(t, err)
	assert.JSONEq(t, `{"clients": 5, "position": 40, "lag": 2, "heartbeat": true}`, string(reply.Data))
}
