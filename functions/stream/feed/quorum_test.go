package feed_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestACutOffLeaderDecidesNothing has an edge beside a node that is cut off from
// its two peers and goes on answering as the leader. The peers elect another one
// and the log goes on: a client that comes with a cursor from there is not told
// that it is ahead, and the edge says that it is not ready, leaves that node and
// gives everybody every event once.
func TestACutOffLeaderDecidesNothing(t *testing.T) {
	natstest.CheckGoroutines(t)
	cluster, links := natstest.StartLinkedCluster(t, 3)
	epoch := feedtest.CreateStream(t, cluster.JetStream(t), func(c *jetstream.StreamConfig) { c.Replicas = 3 })
	cut := cluster.StreamLeader(event.DefaultStream)
	others := []string{cluster.Node((cut + 1) % 3).URL(), cluster.Node((cut + 2) % 3).URL()}
	js, err := jetstream.New(cluster.Node((cut+1)%3).Connect(t, nats.IgnoreDiscoveredServers()))
	require.NoError(t, err)
	publish := func(n int) {
		for range n {
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := js.Publish(ctx, "events.a", []byte(`{"n":1}`), jetstream.WithRetryAttempts(0))
				return err == nil
			}, natstest.Patience, time.Millisecond)
		}
	}
	publish(5)

	conn, err := nats.Connect(cluster.Node(cut).URL()+","+others[0]+","+others[1],
		nats.DontRandomize(), nats.MaxReconnects(-1), nats.IgnoreDiscoveredServers())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, ctx, tasks := running(t, feed.Config{Conn: conn, Wire: encoder, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	everything, err := topics.New()
	require.NoError(t, err)
	open := func(cursor uint64) *collector {
		out := &collector{}
		tasks.Go(func() {
			sub, err := f.Subscribe(ctx, feed.Request{
				Topics: everything, Start: feed.Start{Cursor: event.ID{Epoch: epoch, Seq: cursor}.String()}, Wire: encoder,
			})
			if assert.NoError(t, err) {
				sub.Serve(ctx, out)
			}
		})
		return out
	}
	live := open(5)
	require.Eventually(t, func() bool { return live.count(`"resumed":"complete"`) == 1 }, natstest.Patience, time.Millisecond)

	links.Isolate(cut)
	ahead := open(8)
	require.Eventually(t, func() bool { return strings.Contains(f.Status().Err, eventlog.ErrNoQuorum.Error()) },
		natstest.Patience, time.Millisecond, "it says why it is not ready")
	assert.False(t, f.Status().Reading)
	publish(5)
	require.Eventually(t, func() bool { return f.Position().Seq == 10 }, natstest.Patience, time.Millisecond)
	require.Eventually(t, func() bool { return live.count(`{"n":1}`) == 5 && ahead.count(`{"n":1}`) == 2 }, natstest.Patience, time.Millisecond)
	require.Eventually(t, func() bool { return f.Status().Err == "" }, natstest.Patience, time.Millisecond)
	assert.Contains(t, others, conn.ConnectedUrl(), "it does not wait for the node to come back")
	for _, out := range []*collector{live, ahead} {
		assert.Equal(t, 1, out.count("event: system"), "nobody is told anything but the beginning")
		assert.Zero(t, out.count(`"reason"`))
	}
}
