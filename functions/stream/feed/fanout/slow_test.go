package fanout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// TestPendingLimits: they count the events that come after the socket's first
// refusal, and a client over them is cut if its socket takes nothing for a
// while.
func TestPendingLimits(t *testing.T) {
	const events, bytes = 5, 4000
	for _, tt := range []struct {
		name  string
		steps [][2]int // events that come at once, of that size
		takes bool     // its socket takes bytes when it is judged
		cut   bool
	}{
		{"one write of any size is refused", [][2]int{{100, 1000}}, false, false},
		{"as many events as allowed after it", [][2]int{{100, 10}, {5, 10}}, false, false},
		{"one event more", [][2]int{{1, 10}, {6, 10}}, false, true},
		{"one by one", [][2]int{{1, 10}, {1, 10}, {1, 10}, {1, 10}, {1, 10}, {1, 10}, {1, 10}}, false, true},
		{"bytes over the limit", [][2]int{{1, 10}, {3, 2000}}, false, true},
		{"one event of any size", [][2]int{{1, 10}, {1, 50_000}}, false, false},
		{"and another one", [][2]int{{1, 10}, {1, 50_000}, {1, 1}}, false, true},
		{"the process is behind, not the client", [][2]int{{1, 10}, {200, 10}}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s := newStepped(t, 1<<16, func(c *Config) { c.Limits = Limits{Msgs: events, Bytes: bytes} })
			out := s.connect(0)
			s.live()
			s.publish(50, 1000) // no limit for what it takes
			s.shard.flush()
			out.close()
			for _, step := range tt.steps {
				s.publish(step[0], step[1])
				s.shard.flush()
			}
			out.lies = tt.takes
			s.shard.review(time.Now()) // too soon
			require.Empty(t, out.ended)
			s.shard.review(time.Now().Add(time.Minute))
			if tt.cut {
				e := s.ended(out)
				assert.ErrorIs(t, e.Err, ErrSlow)
				assert.Equal(t, "slow", e.Reason)
				assert.False(t, out.clean, "it does not look complete")
				return
			}
			out.open()
			s.want(out, 0)
			s.live()
			require.Empty(t, out.ended)
		})
	}
}
