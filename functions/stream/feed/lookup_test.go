package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/turns"
	"sluice/publisher/event"
)

// library is a log in which events are looked up, a millisecond each.
type library struct {
	mu      sync.Mutex
	under   int // look-ups under way
	lookups int
	gone    bool // all that is found may have been removed
}

func (l *library) find(_ context.Context, epoch int64, t time.Time) (event.ID, bool, error) {
	l.mu.Lock()
	l.lookups++
	l.under++
	alone := l.under == 1
	l.mu.Unlock()
	time.Sleep(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under--
	if !alone {
		return event.ID{}, false, errors.New("two at once")
	}
	return event.ID{Epoch: epoch, Seq: uint64(t.Unix())}, !l.gone, nil
}

func (l *library) times() *times {
	return &times{find: l.find, pay: (&turns.Turns{}).Pay, turn: make(chan struct{}, 1), known: map[instant]event.ID{}}
}

// TestLookUpsOfATimeAreShared: who asks for the same time gets the same answer,
// and NATS is asked once.
func TestLookUpsOfATimeAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &library{}
		ts := l.times()
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				second := int64(i % 10)
				pos, ok, err := ts.at(t.Context(), 7, time.Unix(second, 0))
				assert.NoError(t, err)
				assert.True(t, ok)
				assert.Equal(t, event.ID{Epoch: 7, Seq: uint64(second)}, pos)
			})
		}
		group.Wait()
		assert.Equal(t, 10, l.lookups)

		_, _, err := ts.at(t.Context(), 8, time.Unix(1, 0))
		require.NoError(t, err)
		assert.Equal(t, 11, l.lookups, "of another log")
	})
}

// TestLookUpsTakeTurns: one is under way at a time, with a pause after each; and
// however many there have been, few answers are kept.
func TestLookUpsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2 * mostTimes
		l := &library{}
		ts := l.times()
		var group sync.WaitGroup
		began := time.Now()
		for i := range many {
			group.Go(func() {
				_, ok, err := ts.at(t.Context(), 7, time.Unix(int64(i), 0))
				assert.NoError(t, err)
				assert.True(t, ok)
			})
		}
		group.Wait()
		assert.GreaterOrEqual(t, time.Since(began), turns.Pause(many*time.Millisecond))
		assert.LessOrEqual(t, len(ts.known), mostTimes)
	})
}

// TestALookUpThatCameTooLateIsNotKept: the log has changed, and is asked again.
func TestALookUpThatCameTooLateIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &library{gone: true}
		ts := l.times()
		for range 2 {
			_, ok, err := ts.at(t.Context(), 7, time.Unix(1, 0))
			require.NoError(t, err)
			require.False(t, ok)
		}
		assert.Equal(t, 2, l.lookups)
		assert.Empty(t, ts.known)
	})
}

// TestWhoWaitsForALookUpMayGo also when it is another one's.
func TestWhoWaitsForALookUpMayGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &library{}
		ts := l.times()
		ts.turn <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := ts.at(ctx, 7, time.Unix(1, 0))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, l.lookups)
	})
}
