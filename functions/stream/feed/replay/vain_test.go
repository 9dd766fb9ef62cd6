package replay_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/replay"
	"sluice/functions/stream/feed/turns"
	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestWorkInVainIsCounted: each chunk of a log that is read only because the topics
// overlap, and a look that finds nothing; not what is wanted.
func TestWorkInVainIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		filters []string
		vain    bool
	}{
		{"all of it is wanted", []string{"metric.>"}, false},
		{"overlapping topics that match nothing", []string{"metric.zz.*", "*.*.zz"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			var all turns.Turns
			r := newRig(t, func(c *replay.Config) { c.Turns = &all })
			const events = 1000
			r.Publish(events, "metric.a.b", 100)
			rd := r.open(0, tt.filters...)
			for rd.pos != r.ID(events) {
				before := all.Total()
				c := rd.next()
				if c.UpTo == r.ID(events) {
					break // it may be what proves the end, in which nothing is read
				}
				assert.Equal(t, tt.vain, all.Total() > before)
			}
			assert.Equal(t, tt.vain, all.Total() > 0)
		})
	}
}

// TestWhatIsInVain of a step: gaps are no events that were delivered.
func TestWhatIsInVain(t *testing.T) {
	t.Parallel()
	const work = 8 * time.Millisecond
	assert.Equal(t, work, replay.InVain(work, 0, 0), "a look that finds nothing")
	assert.Equal(t, work, replay.InVain(work, 100, 0))
	assert.Equal(t, work/4, replay.InVain(work, 100, 75))
	assert.Zero(t, replay.InVain(work, 100, 100))
	assert.Zero(t, replay.InVain(work, 100, 101), "a gap too")
	assert.Zero(t, replay.InVain(work, 0, 1), "a gap alone")
	assert.Zero(t, replay.InVain(-work, 0, 0), "NATS was quicker than to say so")
	assert.Equal(t, 20*time.Millisecond, replay.InVain(time.Hour, 0, 0), "it has waited")
}

// TestAReplayThatWorkedInVainRests in its own slot: it asks NATS for nothing
// meanwhile, but gives its caller the chance of a sign of life.
func TestAReplayThatWorkedInVainRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := pure()
		r := rs.Open(set(t, "a"))
		defer r.Close()
		began := time.Now()
		const work = 11 * time.Second
		r.Work(work)
		var none event.ID
		for i := range int(turns.Pause(work) / replay.WarmEvery) {
			c, err := r.Next(t.Context(), none)
			require.NoError(t, err)
			assert.Equal(t, wire.Chunk{Waited: true}, c)
			assert.Equal(t, time.Duration(i+1)*replay.WarmEvery, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := r.Next(ctx, none)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestWhoGoesLeavesItsRestBehind: clients that come, have work done in vain and go
// at once get a bounded part of the processors, and who comes then waits for one of
// the rests, not for all of them.
func TestWhoGoesLeavesItsRestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, work, clients = 4, time.Millisecond, 1000
		rs := pure(func(c *replay.Config) { c.Concurrency = slots })
		began := time.Now()
		for range clients {
			r := rs.Open(set(t, "a"))
			r.Work(work)
			r.Close()
		}
		took := time.Since(began)
		assert.GreaterOrEqual(t, took, (clients-slots)*turns.Pause(work))
		assert.LessOrEqual(t, took, clients*turns.Pause(work))
		began = time.Now()
		rs.Take()()
		assert.LessOrEqual(t, time.Since(began), slots*turns.Pause(work))
		time.Sleep(slots * turns.Pause(work))
		for range slots {
			defer rs.Take()() // all are free
		}
	})
}
