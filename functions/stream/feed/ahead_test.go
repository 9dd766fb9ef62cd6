package feed_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestCursorsAheadShareOneQuestionASecond has 50 clients with cursors above the
// log's end, half of them at once and half over two seconds. Each waits five
// seconds for the feed before the log is asked.
func TestCursorsAheadShareOneQuestionASecond(t *testing.T) {
	natstest.CheckGoroutines(t)
	log := feedtest.NewLog(t)
	log.Publish(3, "a", 1)
	line := feedtest.NewLine(t, log.Server)
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, ctx, tasks := running(t, feed.Config{Conn: line.Conn, Wire: encoder})
	everything, err := topics.New()
	require.NoError(t, err)

	const clients, interval = 50, 80 * time.Millisecond
	question := "$JS.API.STREAM.INFO." + event.DefaultStream
	told := make(chan bool, clients)
	resume := func(seq uint64) {
		out := &collector{}
		sub, err := f.Subscribe(ctx, feed.Request{
			Topics: everything, Start: feed.Start{Cursor: log.ID(seq).String()}, Wire: encoder,
		})
		if !assert.NoError(t, err) {
			told <- false
			return
		}
		served, stop := context.WithCancel(ctx)
		tasks.Go(func() { sub.Serve(served, out) })
		told <- assert.Eventually(t, func() bool { return out.count(`"reason":"ahead"`) == 1 }, natstest.Patience, time.Millisecond)
		stop()
	}
	asked, began := line.Sent(question), time.Now()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for i := range clients {
		if i >= clients/2 {
			<-ticks.C
		}
		tasks.Go(func() { resume(uint64(1000 + i)) })
	}
	for range clients {
		require.True(t, natstest.Receive(t, told))
	}

	took := time.Since(began)
	watchdog := int(took/(2*time.Second)) + 1
	cursors := int((took-5*time.Second)/time.Second) + 1
	assert.LessOrEqual(t, line.Sent(question)-asked, watchdog+cursors,
		"%d of the watchdog, one every two seconds, and %d for the cursors", watchdog, cursors)
}
