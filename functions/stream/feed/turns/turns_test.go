package turns_test

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
)

// TestAllTogetherTakeABoundedPart: whether one works or a hundred do.
func TestAllTogetherTakeABoundedPart(t *testing.T) {
	for _, workers := range []int{1, 2, 100} {
		synctest.Test(t, func(t *testing.T) {
			const piece, each = 100 * time.Microsecond, 200
			var all turns.Turns
			var group sync.WaitGroup
			began := time.Now()
			for range workers {
				group.Go(func() {
					for range each {
						time.Sleep(piece)
						assert.NoError(t, all.Pay(t.Context(), piece))
					}
				})
			}
			group.Wait()
			work := time.Duration(workers*each) * piece
			assert.Equal(t, work, all.Total())
			took := time.Since(began)
			// The last pause may be too short to be waited for.
			assert.GreaterOrEqual(t, took, turns.Pause(work)-time.Millisecond, "%d workers", workers)
			assert.LessOrEqual(t, took, turns.Pause(work)+work+time.Millisecond, "%d workers", workers)
		})
	}
}

// TestTurnsAreFair: one who has little to do waits for a piece of each of the
// others, not for their whole work.
func TestTurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece, others = time.Millisecond, 50
		var all turns.Turns
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range others {
			group.Go(func() {
				for all.Pay(ctx, piece) == nil {
					time.Sleep(piece)
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, all.Pay(t.Context(), piece))
		assert.LessOrEqual(t, time.Since(began), (others+1)*turns.Pause(piece))
		cancel()
		group.Wait()
	})
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns.Turns
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		began := time.Now()
		assert.ErrorIs(t, all.Pay(ctx, time.Hour), gone)
		assert.ErrorIs(t, all.Pay(ctx, 0), gone, "also where there is nothing to wait for")
		assert.Zero(t, time.Since(began))
	})
}

// TestALongWaitIsNobodysDebt: a piece that took an election's time does not have
// all others wait for a multiple of it.
func TestALongWaitIsNobodysDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns.Turns
		began := time.Now()
		require.NoError(t, all.Pay(t.Context(), time.Hour))
		assert.Equal(t, turns.Pause(200*time.Millisecond), time.Since(began))
	})
}

// TestALittleWorkIsFree: nobody waits for a timer because of it.
func TestALittleWorkIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns.Turns
		began := time.Now()
		for range 100 {
			require.NoError(t, all.Pay(t.Context(), time.Microsecond))
		}
		assert.Zero(t, time.Since(began))
	})
}

// TestWhoLeavesOwesNothing: a thousand who work and go at once, however much they
// work, have nobody who stays wait.
func TestWhoLeavesOwesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece = 10 * time.Millisecond
		var all turns.Turns
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 1000 {
			require.ErrorIs(t, all.Pay(gone, piece), context.Canceled)
		}
		began := time.Now()
		require.NoError(t, all.Pay(t.Context(), piece))
		assert.Equal(t, turns.Pause(piece), time.Since(began))

		// Who has paid in part is forgiven the rest.
		half, stop := context.WithTimeout(t.Context(), turns.Pause(piece)/2)
		defer stop()
		require.ErrorIs(t, all.Pay(half, piece), context.DeadlineExceeded)
		began = time.Now()
		require.NoError(t, all.Pay(t.Context(), piece))
		assert.Equal(t, turns.Pause(piece), time.Since(began))
	})
}
