package feed_test

import (
	"sync"
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

// TestClientsDoNotMakeTheLogAnswerWithoutEnd: whatever they begin with, one after
// the other or at once, its state is asked for forty times a second at most, and
// twice in two seconds by the watchdog.
func TestClientsDoNotMakeTheLogAnswerWithoutEnd(t *testing.T) {
	natstest.CheckGoroutines(t)
	log := feedtest.NewLog(t)
	log.Publish(20, "a", 1)
	line := feedtest.NewLine(t, log.Server)
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, ctx, _ := running(t, feed.Config{Conn: line.Conn, Wire: encoder, RingEvents: 10})
	everything, err := topics.New()
	require.NoError(t, err)

	later := log.ID(5)
	later.Epoch++
	question := "$JS.API.STREAM.INFO." + event.DefaultStream
	for name, start := range map[string]feed.Start{
		"from the start":          {Oldest: true},
		"a cursor of another log": {Cursor: later.String()},
		"since before the log":    {Since: time.UnixMilli(log.Epoch).Add(-time.Hour)},
		"since a time in the log": {Since: time.UnixMilli(log.Epoch).Add(time.Nanosecond)},
	} {
		t.Run(name, func(t *testing.T) {
			asked, began := line.Sent(question), time.Now()
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					for range 15 {
						sub, err := f.Subscribe(ctx, feed.Request{Topics: everything, Start: start, Wire: encoder})
						if assert.NoError(t, err) {
							sub.Abandon()
						}
					}
				})
			}
			clients.Wait()
			took := time.Since(began)
			most := 2*int(took/(50*time.Millisecond)) + 2*int(took/(2*time.Second)) + 4
			assert.LessOrEqual(t, line.Sent(question)-asked, most, "in %v", took)
		})
	}
}
