package pace_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/pace"
)

func TestScheduleIsAbsolute(t *testing.T) {
	s := pace.Schedule{Start: 1_000, Rate: 3, Count: 10}
	assert.EqualValues(t, 1_000, s.Due(0))
	assert.EqualValues(t, 1_000+333_333_333, s.Due(1))
	assert.EqualValues(t, 1_000+1_000_000_000, s.Due(3), "roundings must not add up")
	assert.EqualValues(t, 1_000+1_000_000_000_000, s.Due(3000))
}

func TestMissedCallsAreMadeAtOnceWithTheTimeTheyWereDue(t *testing.T) {
	clock := pace.NewClock()
	s := pace.Schedule{Start: clock.Now(), Rate: 1000, Count: 600}
	const stall = 400 * time.Millisecond
	var made []int64
	var p pace.Progress
	err := p.Run(context.Background(), clock, s, func(n int, due int64) error {
		require.Equal(t, s.Due(n), due)
		if n == 10 {
			<-time.After(stall)
		}
		made = append(made, clock.Now())
		return nil
	})
	require.NoError(t, err)
	require.Len(t, made, 600)
	for n, at := range made {
		assert.GreaterOrEqual(t, at, s.Due(n), "call %d was made before its time", n)
	}
	assert.Less(t, made[400]-made[10], int64(stall)/2, "calls missed in the stall follow at once")
	assert.GreaterOrEqual(t, p.Behind(), stall-2*time.Millisecond, "the call after it was that late")
	assert.Less(t, p.Overslept(50), stall/2, "what the call takes is not the sleeper's delay")
}

func TestRunEndsWithItsContextAndWithAnError(t *testing.T) {
	clock := pace.NewClock()
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	var p pace.Progress
	err := p.Run(ctx, clock, pace.Schedule{Start: clock.Now(), Rate: 0.1, Count: 2}, func(int, int64) error {
		cancel(enough)
		return nil
	})
	assert.ErrorIs(t, err, enough)

	err = p.Run(context.Background(), clock, pace.Schedule{Start: clock.Now(), Rate: 1000, Count: 2},
		func(int, int64) error { return enough })
	assert.ErrorIs(t, err, enough)
}

func TestClockDoesNotDriftFromTheWallClock(t *testing.T) {
	clock := pace.NewClock()
	assert.InDelta(t, time.Now().UnixNano(), clock.Now(), float64(time.Second))
}
