package replay_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/replay"
	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
)

// TestChunksAreBounded in events and in bytes, of which an event has its payload
// and about 75 more.
func TestChunksAreBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		n, size     int
		first, most int // events of the first chunk, and of the largest
	}{
		{"small events", 700, 10, 190, 256},
		{"middling events", 200, 2000, 7, 126},
		{"events larger than the first chunk", 20, 60_000, 1, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Publish(tt.n, "a", tt.size)
			rd := r.open(0)
			first := rd.next()
			assert.LessOrEqual(t, wire.Size(first.Frames), max(16<<10, tt.size))
			assert.InEpsilon(t, tt.first, len(first.Frames), 0.05)
			rd.Enlarge()
			largest := rd.next()
			assert.LessOrEqual(t, wire.Size(largest.Frames), 256<<10)
			assert.InEpsilon(t, tt.most, len(largest.Frames), 0.02)
			assert.LessOrEqual(t, len(largest.Frames), 256)
			rd.readTo(r.ID(uint64(tt.n)))
			rd.assertTold(feedtest.Each("a", 1, uint64(tt.n))...)
		})
	}
}

// gate is a Wire that keeps its first two callers until it is opened.
type gate struct {
	feedtest.Wire
	inside, most *atomic.Int32
	arrived      chan bool
	open         chan struct{}
}

func (g gate) Event(m wire.Message) ([]byte, wire.Flaw) {
	defer g.inside.Add(-1)
	if n := g.inside.Add(1); n > g.most.Load() {
		g.most.Store(n)
		g.arrived <- true
		<-g.open
	}
	return g.Wire.Event(m)
}

// TestChunksUnderWayAreBounded has two chunks under way, and a third replay that
// must wait.
func TestChunksUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	g := gate{inside: new(atomic.Int32), most: new(atomic.Int32), arrived: make(chan bool, 10), open: make(chan struct{})}
	r := newRig(t, func(c *replay.Config) { c.Wire, c.Concurrency = g, 2 })
	r.Publish(1, "a", 1)
	first, second, third := r.open(0), r.open(0), r.open(0)
	var two sync.WaitGroup
	for _, rd := range []*reading{first, second} {
		two.Go(func() { _, _ = rd.Next(t.Context(), rd.pos) })
		natstest.Receive(t, g.arrived)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var one sync.WaitGroup
	var err error
	one.Go(func() { _, err = third.Next(ctx, third.pos) })
	natstest.Receive(t, ctx.Done())
	assert.EqualValues(t, 2, g.inside.Load())
	close(g.open)
	natstest.Await(t, one.Wait)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	natstest.Await(t, two.Wait)
	third.next()
	third.assertTold("1 a")
}

// TestSlowCallersHoldNothing: a replay whose caller takes its time has no slot,
// and only so many have a consumer.
func TestSlowCallersHoldNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *replay.Config) { c.Concurrency = 2 })
	const events, size = 30, 2000
	r.Publish(events, "a", size)
	var all []*reading
	for range 5 {
		rd := r.open(0)
		require.False(t, rd.next().Waited)
		require.NotEmpty(t, rd.told)
		require.Less(t, len(rd.told), events)
		all = append(all, rd)
	}
	assert.Len(t, r.Consumers(), 2, "as many are kept as chunks may be under way")
	for _, rd := range all {
		rd.readTo(r.ID(events))
		rd.assertTold(feedtest.Each("a", 1, events)...)
	}
	for _, rd := range all {
		rd.Close()
	}
	assert.Empty(t, r.Consumers())
}

func TestCloseDeletesTheConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *replay.Config) { c.Concurrency = 1 })
	r.Publish(30, "a", 2000)
	for range 3 { // a place that is not given back would be missing
		rd := r.open(0)
		rd.next()
		assert.Len(t, r.Consumers(), 1)
		rd.Close()
		assert.Empty(t, r.Consumers())
	}
}
