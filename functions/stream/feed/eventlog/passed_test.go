package eventlog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/functions/stream/feed/eventlog"
	"sluice/publisher/event"
)

// TestJudge has jumps from 2010 to 2020 that a consumer at server b has made.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	one := func(first uint64) eventlog.State {
		return eventlog.State{FirstSeq: first, LastSeq: 5000, Time: now, Replicas: 1, MaxAge: time.Hour, Leader: "b"}
	}
	three := func(first uint64, change ...func(*eventlog.State)) eventlog.State {
		s := one(first)
		s.Replicas, s.Leader, s.FirstTime = 3, "a", ago(time.Hour)
		for _, c := range change {
			c(&s)
		}
		return s
	}
	leads := func(s *eventlog.State) { s.Leader = "b" }
	forEver := func(s *eventlog.State) { s.MaxAge = 0 }
	younger := func(s *eventlog.State) { s.FirstTime = ago(time.Minute) }
	for _, tt := range []struct {
		name  string
		log   eventlog.State
		since time.Time
		want  eventlog.Verdict
	}{
		{"one server, which has it all", one(1), time.Time{}, eventlog.Harmless},
		{"one server, which has it just", one(2011), time.Time{}, eventlog.Harmless},
		{"one server, which has not all", one(2012), time.Time{}, eventlog.Lost},
		{"one server, which has nothing of it", one(2020), time.Time{}, eventlog.Lost},
		{"one server, which has gone on", one(2099), time.Time{}, eventlog.Lost},
		{"the leader has nothing of it", three(2020), ago(0), eventlog.Lost},
		{"the leader has some of it", three(2015), ago(0), eventlog.Doubtful},
		{"all is young", three(1), ago(time.Hour - 6*time.Second), eventlog.Harmless},
		{"it may be old", three(1), ago(time.Hour - 5*time.Second), eventlog.Doubtful},
		{"it is not known how old it is", three(1), time.Time{}, eventlog.Doubtful},
		{"all that the log holds is young", three(1, younger), time.Time{}, eventlog.Harmless},
		{"all is young, and it was near the start when that was older", three(2, younger), ago(55 * time.Second), eventlog.Doubtful},
		{"the same, a little later", three(2, younger), ago(55*time.Second - 1), eventlog.Harmless},
		{"nothing is removed by age", three(1, forEver), time.Time{}, eventlog.Harmless},
		{"nothing is removed by age any more", three(2, forEver, younger), ago(55 * time.Second), eventlog.Doubtful},
		{"it is near the start", three(1012, forEver), ago(0), eventlog.Doubtful},
		{"it is not near the start", three(1011, forEver), ago(0), eventlog.Harmless},
		{"the consumer is at the leader", three(2011, leads), time.Time{}, eventlog.Harmless},
		{"the consumer is at the leader, which has not all", three(2012, leads), time.Time{}, eventlog.Lost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := eventlog.Jump{Pos: event.ID{Seq: 2010}, Next: 2020, Since: tt.since, Server: "b"}
			assert.Equal(t, tt.want, tt.log.Judge(j))
			j.Next = 2011
			assert.Equal(t, eventlog.Harmless, tt.log.Judge(j), "nothing is passed over")
		})
	}
}

// TestWhenWhatComesAfterAPositionWasStored is known from the log's ends that
// were asked for, and from the last event that was read.
func TestWhenWhatComesAfterAPositionWasStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	since := func(seq uint64) time.Time { return r.log.Jump(r.ID(seq), seq+10, "", eventlog.Stored{}).Since }
	assert.Zero(t, since(5), "nothing was asked for")
	r.Publish(5, "a", 1)
	first, err := r.log.Ask(ctx)
	assert.NoError(t, err)
	assert.Zero(t, since(4))
	assert.Equal(t, first.Time, since(5))
	assert.Equal(t, first.Time, since(50))
	r.Publish(1, "a", 1)
	_, err = r.log.Ask(ctx)
	assert.NoError(t, err)
	assert.Equal(t, first.Time, since(6), "another one just after it says nothing new")

	later := first.Time.Add(time.Second)
	read := eventlog.StoredAt(r.ID(7), later)
	assert.Equal(t, later, r.log.Jump(r.ID(7), 20, "", read).Since)
	assert.Equal(t, first.Time, r.log.Jump(r.ID(6), 20, "", read).Since, "it comes after the position")
	assert.Zero(t, r.log.Jump(event.ID{Epoch: 1, Seq: 9}, 20, "", read).Since, "it is of another log")

	r.Recreate()
	r.Publish(9, "a", 1)
	again, err := r.log.Ask(ctx)
	assert.NoError(t, err)
	assert.Zero(t, since(8))
	assert.Equal(t, again.Time, since(9))
}
