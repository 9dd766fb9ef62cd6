package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// rights is all that a feed needs of NATS. README.md repeats it.
var rights = server.Permissions{
	Publish: &server.SubjectPermission{Allow: []string{
		"$JS.API.STREAM.INFO.EVENTS",
		"$JS.API.CONSUMER.CREATE.EVENTS.>",
		"$JS.API.CONSUMER.DELETE.EVENTS.>",
		"$JS.API.CONSUMER.MSG.NEXT.EVENTS.>",
		"$JS.FC.EVENTS.>",
	}},
	Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_edge.>"}},
}

// collector is an outlet that keeps what it gets.
type collector struct {
	mu  sync.Mutex
	got bytes.Buffer
}

func (c *collector) Write(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.Write(p)
	return nil
}

func (c *collector) Interrupt() {}

func (c *collector) count(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Count(c.got.Bytes(), []byte(text))
}

func TestFeedNeedsNoOtherRights(t *testing.T) {
	natstest.CheckGoroutines(t)
	ns := natstest.Start(t, func(o *natsembed.Options) {
		o.Configure = func(o *server.Options) {
			o.Users = []*server.User{
				{Username: "edge", Password: "e", Permissions: &rights},
				{Username: "admin", Password: "a"},
			}
		}
	})
	admin, err := jetstream.New(ns.Connect(t, nats.UserInfo("admin", "a")))
	require.NoError(t, err)
	_, err = event.EnsureStream(t.Context(), admin, event.StreamConfig("EVENTS", event.StreamLimits{}))
	require.NoError(t, err)
	var first event.ID
	// More than a flow control window.
	const events = 400
	for i := range events {
		_, err := admin.PublishAsync("events.a", fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, bytes.Repeat([]byte("x"), 16<<10)))
		require.NoError(t, err)
	}
	<-admin.PublishAsyncComplete()

	var denied atomic.Int32
	nc := ns.Connect(t, nats.UserInfo("edge", "e"), nats.CustomInboxPrefix("_INBOX_edge"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
				denied.Add(1)
			}
		}))
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, ctx, _ := running(t, feed.Config{Conn: nc, RingEvents: 100, Wire: encoder})

	first = event.ID{Epoch: f.Position().Epoch}
	everything, err := topics.New()
	require.NoError(t, err)
	rare, err := topics.New("rare")
	require.NoError(t, err)
	for _, tc := range []struct {
		name   string
		topics *topics.Set
		start  feed.Start
		marker string
		want   int
	}{
		{"replay from the log", everything, feed.Start{Cursor: first.String()}, `{"n":`, events},
		{"replay that finds nothing", rare, feed.Start{Cursor: first.String()}, `"resumed":"complete"`, 1},
		{"since a time before the ring", everything, feed.Start{Since: time.Now().Add(-time.Hour)}, `{"n":`, events},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sub, err := f.Subscribe(ctx, feed.Request{Topics: tc.topics, Start: tc.start, Wire: encoder})
			require.NoError(t, err)
			out := &collector{}
			served, stop := context.WithCancel(ctx)
			var serving sync.WaitGroup
			serving.Go(func() { sub.Serve(served, out) })
			require.Eventually(t, func() bool { return out.count(tc.marker) == tc.want }, natstest.Patience, time.Millisecond)
			stop()
			serving.Wait()
		})
	}
	require.Zero(t, denied.Load())
	stream, err := admin.Stream(t.Context(), "EVENTS")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Consumers == 1
	}, natstest.Patience, time.Millisecond, "replays leave no consumers behind")
	require.Eventually(t, func() bool { return f.Count() == 0 }, natstest.Patience, time.Millisecond)
}
