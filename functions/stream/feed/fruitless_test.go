package feed_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
)

// fruitless is the counter of that name.
func fruitless(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "sse_fruitless_seconds_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.Fail(t, "there is no such counter")
	return 0
}

// TestLookingInVainIsPaidFor: by whoever looks through the whole ring for what is
// not there, whatever it begins with; not by those who find what they look at.
func TestLookingInVainIsPaidFor(t *testing.T) {
	natstest.CheckGoroutines(t)
	log := feedtest.NewLog(t)
	last := uint64(3000)
	log.Publish(int(last), "a", 1)
	registry := prometheus.NewRegistry()
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, ctx, _ := running(t, feed.Config{Conn: log.Server.Connect(t), Wire: encoder, Registry: registry})

	// ask serves a client until its first event after the log's end comes.
	ask := func(start feed.Start, filters ...string) {
		set, err := topics.New(append(filters, "end")...)
		require.NoError(t, err)
		sub, err := f.Subscribe(ctx, feed.Request{Topics: set, Start: start, Wire: encoder})
		require.NoError(t, err)
		out := &collector{}
		served, stop := context.WithCancel(ctx)
		var serving sync.WaitGroup
		serving.Go(func() { sub.Serve(served, out) })
		log.Publish(1, "end", 1)
		last++
		end := "id: " + log.ID(last).String()
		require.Eventually(t, func() bool { return out.count(end) > 0 }, natstest.Patience, time.Millisecond)
		stop()
		serving.Wait()
	}
	ask(feed.Start{Cursor: log.ID(0).String()}, ">")
	ask(feed.Start{Last: 10}, "a")
	ask(feed.Start{})
	require.Zero(t, fruitless(t, registry))
	ask(feed.Start{Cursor: log.ID(0).String()})
	resumed := fruitless(t, registry)
	assert.Positive(t, resumed, "a resume in the ring")
	ask(feed.Start{Last: 1 << 10}, "b")
	assert.Greater(t, fruitless(t, registry), resumed, "counting back in the ring")
}
