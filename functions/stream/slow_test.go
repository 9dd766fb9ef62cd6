package stream_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// metered gives the edge a registry of the test's own.
func metered() (*prometheus.Registry, func(*streamtest.Options)) {
	reg := prometheus.NewRegistry()
	return reg, func(o *streamtest.Options) { o.Feed.Registry = reg }
}

// ended is how many connections ended for a reason.
func ended(t *testing.T, reg *prometheus.Registry, reason string) int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "sse_connections_ended_total" && m.GetLabel()[0].GetValue() == reason {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func TestSlowClientIsCut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits func(*streamtest.Options)
		reason string
		quiet  bool // nothing is published while it does not read
	}{
		{"over PENDING_MSGS", func(o *streamtest.Options) { o.Feed.Pending.Bytes = 1 << 30 }, "slow", false},
		{"over PENDING_BYTES", func(o *streamtest.Options) { o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 1<<20, 64<<10 }, "slow", false},
		{"over STALL_TIMEOUT", func(o *streamtest.Options) {
			o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 1<<20, 1<<30 // the feed may still read on when it has caught up
			o.Stream.StallTimeout = 300 * time.Millisecond
		}, "stalled", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ways(t, func(t *testing.T, way func(*streamtest.Options)) {
				natstest.CheckGoroutines(t)
				reg, registry := metered()
				r := newRig(t, way, registry, tt.limits, func(o *streamtest.Options) { o.Feed.HeartbeatInterval = time.Second })
				r.log.Pad = 1000
				q := streamtest.Query{RecvBuf: 32 << 10}
				if tt.quiet {
					r.log.PublishN(1000, "a")
					q.LastID = r.log.ID(0)
				}
				r.open(t, q) // and never reads
				require.Eventually(t, func() bool {
					if !tt.quiet {
						r.log.PublishN(5, "a")
					}
					return ended(t, reg, tt.reason) == 1
				}, natstest.Patience, 5*time.Millisecond)
				require.Eventually(t, func() bool { return r.edge.Feed.Count() == 0 }, natstest.Patience, time.Millisecond)
			})
		})
	}
}

// TestSlowClientWithinItsLimits pauses, falls out of the ring or not, and reads
// on: it is not cut and misses nothing.
func TestSlowClientWithinItsLimits(t *testing.T) {
	for name, ring := range map[string]int{"in the ring": 0, "out of the ring": 16} {
		t.Run(name, func(t *testing.T) {
			ways(t, func(t *testing.T, way func(*streamtest.Options)) {
				natstest.CheckGoroutines(t)
				r := newRig(t, way, func(o *streamtest.Options) {
					o.Feed.RingEvents = ring
					o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 10_000, 64<<20
					o.Feed.HeartbeatInterval = 64 * time.Millisecond
					o.Stream.StallTimeout = natstest.Patience // publishing takes long on a busy machine
				})
				c := r.open(t, streamtest.Query{Topics: []string{"a", "b"}})
				beside := r.live(t, "b")
				var j streamtest.Journal
				for range 3 {
					r.log.Pad = 1000
					r.log.PublishN(2000, "a", "b", "c") // more than the kernel holds for it
					r.log.Pad = 0
					r.log.PublishN(100, "a", "b", "c")
					require.NoError(t, j.Read(c, streamtest.At(r.log.Last().Seq-1)))
				}
				require.NoError(t, j.Compare(r.log.Match(0, "a", "b")))
				require.Empty(t, j.Gaps)
				for _, want := range r.log.Match(0, "b") {
					require.Equal(t, want.Data, beside.Event(t).Data)
				}
			})
		})
	}
}

// TestBurst: limits count what a client does not take, not what comes at once.
func TestBurst(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		c := r.live(t)
		var j streamtest.Journal
		const burst = 10_000
		read := make(chan error, 1)
		go func() { read <- j.Read(c, streamtest.At(burst)) }()
		r.log.PublishN(burst, "a", "b")
		require.NoError(t, natstest.Receive(t, read))
		require.NoError(t, j.Compare(r.log.Match(0)))
	})
}

// TestOneEventAlwaysFits: an event larger than PENDING_BYTES reaches a client
// that takes it.
func TestOneEventAlwaysFits(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 1, 1000 })
		r.log.Pad = 60_000
		c := r.open(t, streamtest.Query{RecvBuf: 32 << 10})
		c.System(t, "open")
		for range 10 {
			e := r.log.Publish("a")
			assert.Equal(t, e.Data, c.Event(t).Data)
		}
	})
}
