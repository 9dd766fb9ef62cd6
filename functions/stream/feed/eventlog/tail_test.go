package eventlog_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func (r *rig) follow(t *testing.T, after uint64) *eventlog.Tail {
	t.Helper()
	tail, err := r.log.Follow(natstest.Context(t), "feed", []string{event.AllSubjects}, r.ID(after), 100*time.Millisecond, "")
	require.NoError(t, err)
	t.Cleanup(tail.Close)
	return tail
}

// arrivals are the first n events that arrive.
func arrivals(t *testing.T, tail *eventlog.Tail, n int) (all []*nats.Msg) {
	t.Helper()
	for len(all) < n {
		if m := natstest.Receive(t, tail.C()); strings.HasPrefix(m.Subject, "events.") {
			all = append(all, m)
		}
	}
	return all
}

// TestTailTakesOnlyTheNextDelivery: the number is the consumer's, so that a
// filter or a deletion is no error and a lost message is one.
func TestTailTakesOnlyTheNextDelivery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(4, "a", 1)
	for _, tt := range []struct {
		name   string
		then   int // the arrival that comes after the first two
		change func(*nats.Msg)
		want   error
	}{
		{"the next one", 2, nil, nil},
		{"one is missing", 3, nil, eventlog.ErrMissing},
		{"one is repeated", 1, nil, eventlog.ErrMissing},
		{"another consumer's", 2, func(m *nats.Msg) { m.Reply = strings.Replace(m.Reply, ".sluice_test_", ".sluice_other_", 1) }, eventlog.ErrMissing},
		{"without a reply", 2, func(m *nats.Msg) { m.Reply = "" }, nats.ErrMsgNoReply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tail := r.follow(t, 0)
			came := arrivals(t, tail, 4)
			for seq, m := range came[:2] {
				d, err := tail.Take(m)
				require.NoError(t, err)
				assert.True(t, d.IsEvent)
				assert.Equal(t, r.ID(uint64(seq+1)), d.ID)
			}
			if tt.change != nil {
				tt.change(came[tt.then])
			}
			d, err := tail.Take(came[tt.then])
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, tt.want == nil, d.IsEvent)
			if tt.want != nil {
				assert.Zero(t, d, "nothing is given of what cannot be trusted")
			}
		})
	}
}

func TestTailTakesOnlyDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(1, "a", 1)
	tail := r.follow(t, 0)
	m := arrivals(t, tail, 1)[0]
	foreign := *m
	foreign.Reply = "somebody.asks"
	_, err := tail.Take(&foreign)
	require.ErrorContains(t, err, "message metadata")
	_, err = tail.Take(m)
	require.NoError(t, err, "that was not counted")
}

// TestTailReadsWhatAPublisherSent: a publisher can set any header and any
// subject of the log, and takes nobody in.
func TestTailReadsWhatAPublisherSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.PublishMsgs(1, &nats.Msg{Subject: "events.a", Data: []byte("data"), Header: nats.Header{event.HeaderType: {"kind"}}})
	r.PublishMsgs(1, &nats.Msg{Subject: "events.no.\x01", Data: []byte("data")})
	r.PublishMsgs(1, &nats.Msg{Subject: "events.a", Header: nats.Header{"Status": {"100"}, "Nats-Last-Stream": {"9"}}})
	tail := r.follow(t, 0)
	var all []eventlog.Delivery
	for _, m := range arrivals(t, tail, 3) {
		d, err := tail.Take(m)
		require.NoError(t, err)
		require.True(t, d.IsEvent)
		assert.Zero(t, d.Scanned)
		all = append(all, d)
	}
	assert.Equal(t, "a", all[0].Topic)
	assert.Equal(t, "kind", all[0].Header)
	assert.Equal(t, "data", string(all[0].Data))
	assert.WithinDuration(t, time.Now(), all[0].Time, natstest.Patience)
	assert.Empty(t, all[1].Topic, "its subject is outside the topic grammar")
	assert.Equal(t, r.ID(2), all[1].ID)
	assert.Equal(t, "a", all[2].Topic)
}

// TestTailAnswersFlowControl: the server waits for the answers.
func TestTailAnswersFlowControl(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tail := r.follow(t, 0)
	heard, err := r.Server.Connect(t).SubscribeSync("flow.>")
	require.NoError(t, err)
	beat := natstest.Receive(t, tail.C())
	for _, tt := range []struct {
		name    string
		m       nats.Msg
		answers string
	}{
		{"a request", nats.Msg{Reply: "flow.request", Header: nats.Header{"Status": {"100"}}}, "flow.request"},
		{"a heartbeat that tells of a request", nats.Msg{Header: nats.Header{"Status": {"100"}, "Nats-Consumer-Stalled": {"flow.stalled"}}}, "flow.stalled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.m.Subject, tt.m.Sub = beat.Subject, beat.Sub
			d, err := tail.Take(&tt.m)
			require.NoError(t, err)
			assert.Zero(t, d)
			m, err := heard.NextMsg(natstest.Patience)
			require.NoError(t, err)
			assert.Equal(t, tt.answers, m.Subject)
			assert.Empty(t, m.Data)
		})
	}
}

// TestTailGoesOnBeyondTheWindow of flow control, which is 2 MiB.
func TestTailGoesOnBeyondTheWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const events, size = 200, 50_000
	r.Publish(events, "a", size)
	tail := r.follow(t, 0)
	for next := uint64(1); next <= events; {
		d, err := tail.Take(natstest.Receive(t, tail.C()))
		require.NoError(t, err)
		if d.IsEvent {
			require.Equal(t, r.ID(next), d.ID)
			next++
		}
	}
}

// TestTailTellsHowFarNothingIsLeft only when all that its consumer has sent has
// come.
func TestTailTellsHowFarNothingIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "a", 1)
	tail := r.follow(t, 0)
	came := arrivals(t, tail, 3)
	beat := natstest.Receive(t, tail.C())
	for i, m := range came {
		d, err := tail.Take(beat)
		require.NoError(t, err)
		assert.Zero(t, d.Scanned, "%d of 3 events have come", i)
		_, err = tail.Take(m)
		require.NoError(t, err)
	}
	d, err := tail.Take(beat)
	require.NoError(t, err)
	assert.Equal(t, eventlog.Delivery{Scanned: r.ID(3)}, d)
}

func TestScanned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := natstest.Context(t)
	scanned := func(after uint64, subject string) string {
		pos, _, ok, err := r.log.Scanned(ctx, []string{subject}, r.ID(after), "")
		require.NoError(t, err)
		assert.Equal(t, r.Epoch, pos.Epoch)
		assert.Empty(t, r.Consumers(), "its consumer is gone")
		if !ok {
			assert.Equal(t, after, pos.Seq)
			return "there is one"
		}
		return fmt.Sprint("nothing up to ", pos.Seq)
	}
	assert.Equal(t, "nothing up to 0", scanned(0, "events.>"), "the log is empty")
	r.Publish(2, "a", 1)
	r.Publish(3, "b", 1)
	for _, tt := range []struct {
		name, subject string
		after         uint64
		want          string
	}{
		{"an event comes at once", "events.>", 0, "there is one"},
		{"an event comes after others", "events.b", 0, "there is one"},
		{"the last event comes", "events.>", 4, "there is one"},
		{"at the end", "events.>", 5, "nothing up to 5"},
		{"only others come", "events.a", 2, "nothing up to 5"},
		{"never any", "events.c", 0, "nothing up to 5"},
		{"beyond the end", "events.>", 9, "nothing up to 9"},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, scanned(tt.after, tt.subject)) })
	}
	r.Purge(0)
	assert.Equal(t, "nothing up to 5", scanned(1, "events.>"), "all was purged")
}

// TestScannedProvesNothingWhileAnEventIsOnTheWay: the heartbeat says that it was
// sent, and it has not come.
func TestScannedProvesNothingWhileAnEventIsOnTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(1, "a", 1)
	ctx, cancel := context.WithCancel(natstest.Context(t))
	beats := 0
	r.line.In(func(p feedtest.Packet) bool {
		if strings.Contains(string(p.Data), "Idle Heartbeat") {
			if beats++; beats == 3 {
				cancel()
			}
		}
		return !strings.HasPrefix(p.Subject, "events.")
	})
	_, _, ok, err := r.log.Scanned(ctx, []string{event.AllSubjects}, r.ID(0), "")
	assert.ErrorIs(t, err, context.Canceled)
	assert.False(t, ok)
}
