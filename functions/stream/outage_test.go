package stream_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestOutage stops the NATS server for a while: no client is closed, clients
// can resume from memory meanwhile, and all go on afterwards.
func TestOutage(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way, smallRing, func(o *streamtest.Options) { o.Feed.HeartbeatInterval = 64 * time.Millisecond })
		r.log.PublishN(200, "a", "b")
		require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 200 }, natstest.Patience, time.Millisecond)
		live := r.live(t)

		r.nats.Stop()
		resume := func(seq uint64) *streamtest.Client { return r.open(t, streamtest.Query{LastID: r.log.ID(seq)}) }
		fromRing, fromLog := resume(190), resume(3)
		fresh := r.live(t)
		ahead := resume(5000) // is told after 5 s that nothing is known to be missing
		for _, c := range []*streamtest.Client{fromRing, fromLog, ahead} {
			assert.Equal(t, "complete", c.System(t, "open").System().Resumed)
		}
		for _, want := range r.log.Match(190) {
			assert.Equal(t, want.Data, fromRing.Event(t).Data)
		}
		assert.Equal(t, "heartbeat", live.Block(t).Type, "the client is kept")
		assert.NotEmpty(t, r.edge.Feed.Status().Err, "it is known")

		r.nats.Restart()
		require.Eventually(t, r.log.JS.Conn().IsConnected, natstest.Patience, time.Millisecond)
		r.log.PublishN(40, "a", "b")
		for _, c := range []*streamtest.Client{live, fromRing, fresh} {
			for _, want := range r.log.Match(200) {
				require.Equal(t, want.Data, c.Event(t).Data)
			}
		}
		for _, want := range r.log.Match(3) {
			require.Equal(t, want.Data, fromLog.Event(t).Data)
		}
		assert.NotZero(t, fromLog.Comments(), "the line is kept warm while it waits")
		gap := ahead.System(t, "gap")
		assert.EqualValues(t, "ahead", gap.System().Reason)
		assert.Equal(t, r.log.ID(5000), gap.System().Requested)
		next := r.log.Publish("a")
		for {
			if b := ahead.Event(t); b.Seq() == next.Seq {
				assert.Equal(t, next.Data, b.Data)
				break
			}
		}
		assert.True(t, r.edge.Feed.Status().Reading)
	})
}

// TestStreamIsMissing: an edge whose stream is deleted keeps its clients and
// goes on with the next one.
func TestStreamIsMissing(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		r := newRig(t, way)
		c := r.live(t)
		r.log.Publish("a")
		c.Event(t)
		old := r.log.Epoch
		r.log.Delete()
		require.Eventually(t, func() bool { return r.edge.Feed.Status().Err != "" }, natstest.Patience, time.Millisecond)
		r.log.Create()
		require.NotEqual(t, old, r.log.Epoch)
		r.log.Publish("a")
		assertGap(t, "recreated", r.log, 1, c.System(t, "gap"))
		assert.Equal(t, r.log.ID(1), c.Event(t).ID)
	})
}
