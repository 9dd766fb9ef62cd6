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

// TestAReplayOwesWhatNobodyWants: each chunk of a log that is read only because
// the topics overlap; neither what is wanted, nor a look that finds nothing.
func TestAReplayOwesWhatNobodyWants(t *testing.T) {
	for _, tt := range []struct {
		name    string
		filters []string
		owes    bool
	}{
		{"all of it is wanted", []string{"metric.>"}, false},
		{"overlapping topics that match nothing", []string{"metric.zz.*", "*.*.zz"}, true},
		{"a topic that is not there", []string{"log.error"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			var owed turns.Turns
			r := newRig(t, func(c *replay.Config) { c.Turns = &owed })
			const events = 1000
			r.Publish(events, "metric.a.b", 100)
			rd := r.open(0, tt.filters...)
			for rd.pos != r.ID(events) {
				before := owed.Total()
				c := rd.next()
				if c.UpTo == r.ID(events) {
					break // it may be what proves the end, in which nothing is read
				}
				assert.Equal(t, tt.owes, owed.Total() > before)
			}
			assert.Equal(t, tt.owes, owed.Total() > 0)
		})
	}
}

// TestAReplayThatOwesRests: it asks NATS for nothing meanwhile and holds no slot,
// but gives its caller the chance of a sign of life.
func TestAReplayThatOwesRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := pure()
		r := rs.Open(set(t, "a"))
		defer r.Close()
		began := time.Now()
		r.Rest(began.Add(2*replay.WarmEvery + time.Second))
		var none event.ID
		for i := range 2 {
			c, err := r.Next(t.Context(), none)
			require.NoError(t, err)
			assert.Equal(t, wire.Chunk{Waited: true}, c)
			assert.Equal(t, time.Duration(i+1)*replay.WarmEvery, time.Since(began))
			rs.Take()() // it is free
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := r.Next(ctx, none)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
