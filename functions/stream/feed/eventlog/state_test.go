package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

const infoSubject = "$JS.API.STREAM.INFO." + event.DefaultStream

// held takes the next request for the state off the line and gives it to
// release, which sends it for another connection.
func (r *rig) held(t *testing.T) (asked <-chan struct{}, release func()) {
	t.Helper()
	requests := make(chan feedtest.Packet, 1)
	came := make(chan struct{})
	r.line.Out(func(p feedtest.Packet) bool {
		if p.Subject != infoSubject {
			return true
		}
		r.line.Out(nil)
		requests <- p
		close(came)
		return false
	})
	others := r.Server.Connect(t)
	return came, func() {
		p := natstest.Receive(t, requests)
		require.NoError(t, r.line.Conn.Flush(), "the server knows of the inbox")
		require.NoError(t, others.PublishRequest(p.Subject, p.Reply, nil))
	}
}

type answer struct {
	state eventlog.State
	err   error
}

// ask asks for the state in n goroutines at once.
func (r *rig) ask(ctx context.Context, n int, notBefore time.Time) (answers chan answer) {
	answers = make(chan answer, n)
	for range n {
		go func() { // ends with the request
			s, err := r.log.State(ctx, notBefore)
			answers <- answer{s, err}
		}()
	}
	return answers
}

func TestAllWhoAskForTheStateShareOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "a", 1)
	ctx, began := natstest.Context(t), time.Now()
	asked, release := r.held(t)
	const n = 50

	early := r.ask(ctx, n, began)
	natstest.Receive(t, asked)
	later := time.Now()
	late := r.ask(ctx, n, later)
	assert.Equal(t, 1, r.line.Sent(infoSubject), "one request is under way at a time")
	release()

	for range n {
		a := natstest.Receive(t, early)
		require.NoError(t, a.err)
		assert.Equal(t, eventlog.State{
			Asked: a.state.Asked, Epoch: r.Epoch, FirstSeq: 1, LastSeq: 3, FirstTime: a.state.FirstTime,
			Time: a.state.Time, Leader: "natstest", Replicas: 1, MaxAge: event.DefaultMaxAge,
		}, a.state)
		assert.WithinDuration(t, time.Now(), a.state.Time, natstest.Patience)
	}
	for range n {
		a := natstest.Receive(t, late)
		require.NoError(t, a.err)
		assert.False(t, a.state.Asked.Before(later), "an answer to an earlier request does not serve them")
	}
	assert.Equal(t, 2, r.line.Sent(infoSubject))
}

func TestStateIsAsOldAsAllowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := natstest.Context(t)
	assert.Zero(t, r.log.Known(), "nothing was asked for yet")
	first, err := r.log.State(ctx, time.Time{})
	require.NoError(t, err)
	assert.Equal(t, 1, r.line.Sent(infoSubject), "nothing is known that could be old")
	r.Publish(1, "a", 1)

	for _, tt := range []struct {
		name      string
		notBefore time.Time
		requests  int
		last      uint64
	}{
		{"any age will do", time.Time{}, 1, 0},
		{"as old as the last answer", first.Asked, 1, 0},
		{"newer than the last answer", first.Asked.Add(1), 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := r.log.State(ctx, tt.notBefore)
			require.NoError(t, err)
			assert.Equal(t, tt.last, s.LastSeq)
			assert.Equal(t, s, r.log.Known())
			assert.Equal(t, tt.requests, r.line.Sent(infoSubject))
		})
	}
}

func TestWhoAsksForTheStateCannotTakeItBackFromOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, began := natstest.Context(t), time.Now()
	asked, release := r.held(t)

	asker, leave := context.WithCancel(ctx)
	first := r.ask(asker, 1, began)
	natstest.Receive(t, asked)
	impatient, gone := context.WithCancel(ctx)
	second := r.ask(impatient, 1, began)
	third := r.ask(ctx, 1, began)
	gone()
	assert.ErrorIs(t, natstest.Receive(t, second).err, context.Canceled, "who waits for another's request leaves when it likes")
	leave()
	release()
	assert.NoError(t, natstest.Receive(t, first).err)
	assert.NoError(t, natstest.Receive(t, third).err)
	assert.Equal(t, 1, r.line.Sent(infoSubject))
}

func TestAllWhoAskForTheStateShareItsFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, began := natstest.Context(t), time.Now()
	known, err := r.log.State(ctx, began)
	require.NoError(t, err)
	require.NoError(t, r.JS.DeleteStream(ctx, event.DefaultStream))
	asked, release := r.held(t)

	now := time.Now()
	answers := r.ask(ctx, 2, now)
	natstest.Receive(t, asked)
	release()
	for range 2 {
		// The second may have come too late for the first request.
		assert.ErrorIs(t, natstest.Receive(t, answers).err, jetstream.ErrStreamNotFound)
	}
	assert.Equal(t, known, r.log.Known(), "a failure is no state")
}

// TestStateOfAnEmptyLog: the oldest position is the end, whatever was there.
func TestStateOfAnEmptyLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	state := func() eventlog.State {
		s, err := r.log.State(natstest.Context(t), time.Now())
		require.NoError(t, err)
		return s
	}
	assert.Equal(t, r.ID(0), state().Oldest())
	r.Publish(5, "a", 1)
	assert.Equal(t, r.ID(0), state().Oldest())
	r.Purge(3)
	assert.Equal(t, r.ID(2), state().Oldest())
	r.Purge(0)
	assert.Equal(t, r.ID(5), state().Oldest())
}
