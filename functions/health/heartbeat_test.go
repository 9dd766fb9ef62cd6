package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
)

func TestHeartbeatProducerRunsWhileItsLoopComesRound(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, _ := startNATS(t)
	e := startEdge(t, s.Connect(t), func(c *health.Config) { c.Heartbeat = time.Hour })
	other := startEdge(t, s.Connect(t))
	e.eventually(t, "both are counted", func(s state) bool { return s.Instances == 2 })

	for _, test := range []struct {
		name string
		told bool
		last time.Duration // 0: no time of a round is told
		want string
	}{
		{"said to run, without a time", true, 0, "running"},
		{"not started", false, 0, "missing"},
		{"came round just now", false, time.Nanosecond, "running"},
		{"came round within the interval", false, 59 * time.Minute, "running"},
		{"has stopped", false, 61 * time.Minute, "missing"},
		{"has stopped, though said to run", true, 61 * time.Minute, "missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e.set(func(l *health.Local) {
				l.Heartbeat, l.LastBeat = test.told, time.Time{}
				if test.last != 0 {
					l.LastBeat = time.Now().Add(-test.last)
				}
			})
			assert.Equal(t, test.want, e.health(t).Producers["heartbeat_producer"])
		})
	}
	assert.Equal(t, "running", other.health(t).Producers["heartbeat_producer"], "another edge's loop is not its own")
}

func TestHeartbeatLoopThatStopsIsSeen(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, _ := startNATS(t)
	e := startEdge(t, s.Connect(t), func(c *health.Config) { c.Heartbeat = 100 * time.Millisecond })
	alone := startEdge(t, s.Connect(t), func(c *health.Config) { c.Local = nil })
	running := func(s state) bool { return s.Producers["heartbeat_producer"] == "running" }
	missing := func(s state) bool { return s.Producers["heartbeat_producer"] == "missing" }
	beating := func(s state) bool { // the loop goes on while this is asked for
		e.set(func(l *health.Local) { l.Heartbeat, l.LastBeat = false, time.Now() })
		return running(s)
	}

	e.eventually(t, "the loop runs", beating)
	alone.eventually(t, "a process without streams sees that an edge sends heartbeats", beating)
	e.eventually(t, "the loop has stopped", missing)
	alone.eventually(t, "no edge sends heartbeats", missing)
	e.eventually(t, "the loop runs again", beating)
}
