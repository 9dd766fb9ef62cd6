package oracle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func() *history
		want    oracle.Counts
	}{
		{"everything comes once and in order", func() *history {
			h := published(8)
			h.deliver(1, 2, 3, 4, 5, 6, 7, 8)
			return h
		}, oracle.Counts{}},
		{"an event that the log holds is passed over", func() *history {
			h := published(8)
			h.deliver(1, 2, 4, 5, 6, 7, 8)
			h.later(time.Second)
			return h
		}, only(oracle.Lost, 1)},
		{"three in a row are passed over", func() *history {
			h := published(8)
			h.deliver(1, 5, 6, 7, 8)
			h.later(time.Second)
			return h
		}, only(oracle.Lost, 3)},
		{"a heartbeat is ahead of what came", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.beat(3)
			h.later(time.Second)
			h.deliver(4, 5, 6, 7, 8)
			return h
		}, only(oracle.Lost, 1)},
		{"a heartbeat is ahead, and the event comes after all", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.beat(3)
			h.deliver(3, 4, 5, 6, 7, 8)
			h.later(time.Second)
			return h
		}, func() oracle.Counts { c := only(oracle.Lost, 1); c[oracle.Reordered] = 1; return c }()},
		{"a heartbeat is behind", func() *history {
			h := published(8)
			h.deliver(1, 2, 3, 4)
			h.beat(2)
			h.deliver(5, 6, 7, 8)
			return h
		}, func() oracle.Counts { c := only(oracle.Reordered, 1); return c }()},
		{"an event comes twice", func() *history {
			h := published(4)
			h.deliver(1, 2, 3, 3, 4)
			return h
		}, only(oracle.Duplicated, 1)},
		{"an open block goes on elsewhere than the cursor", func() *history {
			h := published(4)
			h.deliver(1)
			h.connect(all(topics))
			h.open(3)
			h.deliver(4)
			h.later(time.Second)
			return h
		}, only(oracle.Lost, 2)},
		{"other topics are passed over", func() *history {
			h := published(8)
			h.connect(oracle.Topics{true, false, false, false})
			h.open(0)
			h.deliver(1, 5)
			h.beat(8)
			return h
		}, oracle.Counts{}},
		{"a topic that was not asked for comes", func() *history {
			h := published(8)
			h.connect(oracle.Topics{true, false, false, false})
			h.open(0)
			h.deliver(1, 2, 5)
			h.beat(8)
			return h
		}, only(oracle.NotAsked, 1)},
		{"what retention removed is told", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.expire(6)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"what retention removed is passed over in silence", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.expire(6)
			h.deliver(6, 7, 8)
			h.later(time.Minute)
			return h
		}, only(oracle.SilentGap, 3)},
		{"a gap passes over what the log still has", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.expire(4)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			h.later(time.Minute)
			return h
		}, only(oracle.FalseGap, 1)},
		{"a gap passes over what another replica has for a moment longer", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.expire(4)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			h.later(slack / 2)
			h.expire(6)
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"a gap passes over what a leader has removed, and the next one has not", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.expire(6)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			h.expire(1)
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"nobody looked at the log after a gap", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			return h
		}, oracle.Counts{}},
		{"the log ended before what a gap passes over", func() *history {
			h := published(8)
			h.deliver(1, 2)
			h.gap("expired", 5)
			h.deliver(6, 7, 8)
			h.last = 2
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"events of a topic are removed from the middle", func() *history {
			h := published(8)
			h.record.Removals = []oracle.Removal{{From: h.now, Epoch: firstEpoch, Topic: 1, Through: 8}}
			h.deliver(1, 3, 4, 5, 7, 8)
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"ahead is told though the log has the position", func() *history {
			h := published(8)
			h.deliver(1, 2, 3, 4)
			h.gap("ahead", 2)
			h.deliver(3, 4, 5, 6, 7, 8)
			h.later(time.Minute)
			return h
		}, func() oracle.Counts { c := only(oracle.FalseGap, 1); c[oracle.Duplicated] = 2; return c }()},
		{"unknown is told to a good cursor", func() *history {
			h := published(2)
			h.deliver(1, 2)
			h.gap("unknown", 2)
			return h
		}, only(oracle.FalseGap, 1)},
		{"a recreated stream is told, and read from its beginning", func() *history {
			h := published(4)
			h.deliver(1, 2)
			h.recreate()
			h.publish(0)
			h.publish(1)
			h.gap("recreated", 0)
			h.deliver(1, 2)
			h.later(time.Minute)
			return h
		}, oracle.Counts{}},
		{"a recreated stream is told, but not read from its beginning", func() *history {
			h := published(4)
			h.deliver(1, 2)
			h.recreate()
			h.publish(0)
			h.publish(1)
			h.gap("recreated", 1)
			h.deliver(2)
			h.later(time.Minute)
			return h
		}, only(oracle.FalseGap, 1)},
		{"recreated is told before it was deleted", func() *history {
			h := published(4)
			h.deliver(1, 2)
			h.epoch = secondEpoch
			h.gap("recreated", 0)
			h.epoch = firstEpoch
			h.recreate()
			return h
		}, only(oracle.FalseGap, 1)},
		{"the epoch changes without a gap", func() *history {
			h := published(4)
			h.deliver(1, 2)
			h.recreate()
			h.publish(0)
			h.deliver(1)
			h.later(time.Minute)
			return h
		}, only(oracle.Reordered, 1)},
		{"the new stream's events come under the old one's ids", func() *history {
			h := published(4)
			h.deliver(1, 2, 3, 4)
			h.recreate()
			for range 5 {
				h.publish(0)
			}
			key := h.keys[h.id(5)]
			h.epoch = firstEpoch
			h.step(oracle.Step{Kind: oracle.Event, ID: h.id(5), Key: key})
			h.epoch = secondEpoch
			h.gap("recreated", 0)
			h.deliver(1, 2, 3, 4, 5)
			h.later(time.Minute)
			return h
		}, only(oracle.Content, 1)},
		{"a client never comes to the new stream", func() *history {
			h := published(4)
			h.deliver(1, 2, 3, 4)
			h.recreate()
			h.publish(0)
			h.later(time.Minute)
			return h
		}, only(oracle.Lost, 1)},
		{"a client never gets anything", newHistory, only(oracle.Lost, 1)},
		{"the last events never come", func() *history {
			h := published(8)
			h.deliver(1, 2, 3, 4, 5)
			h.later(time.Minute)
			return h
		}, only(oracle.Lost, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want.String(), c.happens().verdict(true).String())
		})
	}
}

func TestBeforeTheRunHasSettledWhatHasNotComeIsNotMissed(t *testing.T) {
	h := published(8)
	h.deliver(1, 2)
	h.later(time.Second)
	require.Equal(t, oracle.Counts{}, h.verdict(false))
}

func TestTwoClientsMustGetTheSameUnderOneID(t *testing.T) {
	h := newHistory()
	h.look()
	h.open(0)
	h.record.Traces = append(h.record.Traces, h.record.Traces[0])
	id := event.ID{Epoch: firstEpoch, Seq: 7}
	for i, key := range []oracle.Key{70, 71} {
		steps := append([]oracle.Step(nil), h.record.Traces[i].Steps...)
		h.record.Traces[i].Steps = append(steps, oracle.Step{At: h.tick(), Kind: oracle.Event, ID: id, Key: key})
	}
	require.Equal(t, only(oracle.Content, 1), h.verdict(true))
}

func TestAnAcknowledgementOfWhichNobodyKnowsWhoseItIsAsksForNothing(t *testing.T) {
	h := newHistory()
	h.recreate()
	h.open(0)
	// It was sent before the old stream was deleted, and acknowledged when the
	// new one was there.
	h.record.Acks = append(h.record.Acks, oracle.Ack{Key: 1, Seq: 3, Sent: 0, At: h.tick()})
	h.beat(9)
	v := oracle.Judge(&h.record, oracle.Limits{Slack: slack})
	require.Empty(t, v.Violations)
	require.Equal(t, 1, v.Unresolved)

	// Somebody got it: then it is known, and everybody must.
	h.record.Traces = append(h.record.Traces, oracle.Trace{
		Conns: []oracle.Conn{{Topics: all(topics)}},
		Steps: []oracle.Step{{At: h.tick(), Kind: oracle.Event, ID: event.ID{Epoch: secondEpoch, Seq: 3}, Key: 1}},
	})
	v = oracle.Judge(&h.record, oracle.Limits{Slack: slack})
	require.Zero(t, v.Unresolved)
	require.Equal(t, only(oracle.SilentGap, 1), oracle.Count(v.Violations))
}

// TestAStreamThatOutlivesItsDeletion: what it acknowledges then is its own, though
// the next one is there already.
func TestAStreamThatOutlivesItsDeletion(t *testing.T) {
	h := published(2)
	h.deliver(1, 2)
	h.recreate()
	second := *h
	h.epoch, h.last = firstEpoch, 2
	h.publish(0)
	h.look()
	h.deliver(3)
	second.record, second.now, second.key = h.record, h.now, h.key
	h = &second
	h.gap("recreated", 0)
	for range 3 {
		h.publish(0)
	}
	h.deliver(1, 2, 3)
	require.Equal(t, oracle.Counts{}, h.verdict(true))
}

func TestWhatNATSGaveTwoEventsIsItsOwnLoss(t *testing.T) {
	h := published(2)
	h.record.Acks = append(h.record.Acks, oracle.Ack{Key: 99, Seq: 2, Sent: h.now, At: h.tick()})
	h.deliver(1, 2)
	v := oracle.Judge(&h.record, oracle.Limits{Slack: slack})
	require.Equal(t, []event.ID{{Epoch: firstEpoch, Seq: 2}}, v.Conflicts)
}

func TestAJobsEventsAreInTheLogOnceAndReachEverybody(t *testing.T) {
	job := func() *history { // of one event, which is in the log twice
		h := published(3)
		h.record.Jobs = []oracle.Job{{Keys: []oracle.Key{70}, Began: 0, Done: h.now}}
		h.deliver(1, 2, 3)
		for _, seq := range []uint64{4, 5} {
			h.keys[h.id(seq)] = 70
			h.deliver(seq)
		}
		h.later(time.Minute)
		return h
	}
	h := job()
	require.Equal(t, only(oracle.Duplicated, 1), h.verdict(true))

	h = job()
	h.record.Forgetful = []oracle.Span{{From: at(0.01)}}
	require.Equal(t, oracle.Counts{}, h.verdict(true), "the log need not know it any more")

	h = job()
	h.record.Traces[0].Steps = h.record.Traces[0].Steps[:len(h.record.Traces[0].Steps)-1]
	h.record.Traces = append(h.record.Traces, h.record.Traces[0])
	steps := append([]oracle.Step(nil), h.record.Traces[0].Steps...)
	steps[len(steps)-1] = oracle.Step{At: h.now, Kind: oracle.Heartbeat, ID: h.id(4)}
	h.record.Traces[1].Steps = steps
	h.last = 4
	h.later(time.Second)
	require.Equal(t, only(oracle.Lost, 1), h.verdict(true), "one got it, and so must the other")
}
