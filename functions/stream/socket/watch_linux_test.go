package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// TestAPlaceInTheWatchIsUsedAgain: what is noticed of one connection is never
// told to those that had its place before.
func TestAPlaceInTheWatchIsUsedAgain(t *testing.T) {
	s := newTaker(t, patient)
	var before []cuts
	for range 20 {
		c, told := s.watched(t)
		c.Close(true)
		require.NoError(t, c.client.Close())
		before = append(before, told)
	}
	c, told := s.watched(t)
	defer c.Close(false)
	require.NoError(t, c.client.Close())
	require.ErrorIs(t, natstest.Receive(t, told), fanout.ErrGone)
	for _, told := range before {
		assert.Empty(t, told)
	}
}

// holding is a Cutter that holds the watch up until the test lets it go on.
type holding struct{ told, goOn chan struct{} }

func (h holding) Cut(error) {
	h.told <- struct{}{}
	<-h.goOn
}

// held is a connection whose client is gone, which holds the watch up as soon as
// it is told.
func (s *taker) held(t *testing.T) holding {
	t.Helper()
	c, h := s.take(t, "HTTP/1.1"), holding{make(chan struct{}, 1), make(chan struct{})}
	t.Cleanup(func() { c.Close(false) })
	s.watch.Add(c.Conn, h)
	c.leave(t)
	return h
}

// leave resets the connection and returns when the server's kernel knows.
func (c taken) leave(t *testing.T) {
	t.Helper()
	require.NoError(t, c.client.SetLinger(0))
	require.NoError(t, c.client.Close())
	require.Eventually(t, func() bool { _, err := c.TryWrite([]byte("x")); return err != nil }, natstest.Patience, time.Millisecond)
}

// TestWhatIsNoticedTooLateIsToldToNobody: between the kernel's word and the
// watch's look at it a connection may be closed, and another have its place.
func TestWhatIsNoticedTooLateIsToldToNobody(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(map[bool]string{false: "the place is free", true: "the place is another's"}[again], func(t *testing.T) {
			s := newTaker(t, patient)
			first := s.held(t)
			natstest.Receive(t, first.told) // the next two come in one piece from the kernel
			second := s.held(t)
			late, told := s.watched(t)
			late.leave(t)
			close(first.goOn)
			natstest.Receive(t, second.told)

			late.Close(false)
			var others cuts
			if again {
				var other taken
				other, others = s.watched(t)
				defer other.Close(false)
			}
			close(second.goOn)
			last, lastTold := s.watched(t)
			defer last.Close(false)
			require.NoError(t, last.client.Close())
			require.ErrorIs(t, natstest.Receive(t, lastTold), fanout.ErrGone)
			assert.Empty(t, told)
			assert.Empty(t, others)
		})
	}
}

func TestAClosedWatchTakesNoConnection(t *testing.T) {
	s := newTaker(t, patient)
	first, told := s.watched(t)
	natstest.Await(t, s.watch.Close)
	second, late := s.watched(t)
	first.leave(t)
	first.Close(false)
	second.leave(t)
	second.Close(false)
	assert.Empty(t, told)
	assert.Empty(t, late)
	s.watch = new(socket.Watch) // so that nothing ends what the closed one may have begun
}
