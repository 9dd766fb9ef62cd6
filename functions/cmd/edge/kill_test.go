package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher"
)

var topics = []string{"metric.cpu", "metric.mem", "log.error", "log.app.error", "alert"}

// crowd is clients that follow a log over whichever edge lives.
type crowd struct {
	mu    sync.Mutex
	edges []*edge

	clients []*follower
	running sync.WaitGroup
	target  atomic.Uint64 // sequence at which they are done
}

// follower is one client with all its connections.
type follower struct {
	filters     []string
	journal     streamtest.Journal
	seq         atomic.Uint64 // how far it has come
	connections int
	err         error
}

func (c *crowd) set(i int, edge *edge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edges[i] = edge
}

func (c *crowd) url(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edges[i%len(c.edges)].URL()
}

// follow starts a client; first is the edge that it tries first.
func (c *crowd) follow(first int, filters ...string) {
	f := &follower{filters: filters}
	c.clients = append(c.clients, f)
	c.running.Go(func() {
		deadline := time.Now().Add(3 * natstest.Patience)
		for ; f.err == nil && time.Now().Before(deadline); first++ {
			conn, err := streamtest.Connect(c.url(first), streamtest.Query{Topics: filters, LastID: f.journal.LastID})
			if err != nil {
				<-time.After(20 * time.Millisecond)
				continue
			}
			f.connections++
			err = f.journal.Read(conn, func(b streamtest.Block) bool {
				f.seq.Store(b.Seq())
				target := c.target.Load()
				return target > 0 && b.Seq() >= target
			})
			conn.Close()
			var broken *streamtest.BrokenPromise
			if err == nil {
				return
			} else if errors.As(err, &broken) {
				f.err = err
			}
		}
		if f.err == nil {
			f.err = errors.New("it did not come to the end")
		}
	})
}

// pass waits until every client has come to a sequence.
func (c *crowd) pass(t *testing.T, seq uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(c.clients, func(f *follower) bool { return f.seq.Load() < seq })
	}, natstest.Patience, 10*time.Millisecond, "the clients do not go on")
}

// passElection waits until events are acknowledged again and every client has
// them, and logs how long each took.
func (c *crowd) passElection(t *testing.T, acked func() uint64) {
	t.Helper()
	before, began := acked(), time.Now()
	require.Eventually(t, func() bool { return acked() > before+200 }, natstest.Patience, 10*time.Millisecond, "nothing is acknowledged")
	took := time.Since(began)
	c.pass(t, before+200)
	t.Logf("acknowledged after %s, every client had it %s later", took.Round(10*time.Millisecond), (time.Since(began) - took).Round(10*time.Millisecond))
}

// publishing publishes one event in each such time, until stop is called, which
// returns when all are acknowledged.
func publishing(t *testing.T, conn *nats.Conn, each time.Duration) (acked func() uint64, stop func() int) {
	p, err := publisher.New(t.Context(), publisher.Options{Conn: conn})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		n := 0
		for start := time.Now(); ctx.Err() == nil; {
			for ; n < int(time.Since(start)/each) && ctx.Err() == nil; n++ {
				_ = p.Publish(t.Context(), publisher.Event{Topic: topics[n%len(topics)], Data: fmt.Appendf(nil, `{"n":%d}`, n)})
			}
			<-time.After(2 * time.Millisecond)
		}
		done <- n
	}()
	return func() uint64 { return p.Summary().Published }, func() int {
		cancel()
		n := natstest.Receive(t, done)
		flush, cancel := context.WithTimeout(t.Context(), natstest.Patience)
		defer cancel()
		require.NoError(t, p.Flush(flush))
		return n
	}
}

// TestKills kills an edge, the NATS node to which an edge is connected and the
// stream's leader, one after the other, and then all NATS nodes at once, under
// 1,000 events/s. All are processes
// of their own, and die as processes do. It is not parallel to others: its
// events do not wait for those.
func TestKills(t *testing.T) {
	cluster := natstest.StartProcessCluster(t, 3)
	js := cluster.JetStream(t)
	streamtest.NewLog(t, js, func(c *jetstream.StreamConfig) { c.Replicas = 3 })
	start := func(direct bool, ring int) *edge {
		e := edgeOn(t, strings.Join(cluster.URLs(), ","), "DIRECT", strconv.FormatBool(direct), "RING_EVENTS", strconv.Itoa(ring),
			"PENDING_MSGS", "10000", "PENDING_BYTES", "16777216", "HEARTBEAT_INTERVAL", "250ms")
		e.WaitReady()
		return e
	}
	c := &crowd{edges: []*edge{start(true, 65536), start(false, 64)}}
	acked, stop := publishing(t, cluster.Connect(t, nats.ReconnectBufSize(-1)), time.Millisecond)
	for i := range 2 {
		c.follow(i)
		c.follow(i, "metric.*")
		c.follow(i, "alert", "log.>")
	}
	c.pass(t, 500)

	c.edges[0].Kill()
	c.set(0, start(true, 64))
	c.pass(t, acked()+200)

	connected, err := strconv.Atoi(strings.TrimPrefix(c.edges[1].Logged("connected to NATS")["server"].(string), "node"))
	require.NoError(t, err)
	cluster.Kill(connected)
	c.pass(t, acked()+200)
	cluster.Restart(connected)

	cluster.Kill(cluster.StreamLeader(t, "EVENTS"))
	c.passElection(t, acked)

	cluster.RestartAll()
	c.passElection(t, acked)

	published := stop()
	stored := streamtest.ReadStream(t, js)
	require.Len(t, stored, published, "each is stored once")
	c.target.Store(stored[len(stored)-1].Seq)
	c.running.Wait()
	for i, f := range c.clients {
		require.NoError(t, f.err, "client %d", i)
		require.Empty(t, f.journal.Gaps, "client %d", i)
		require.NoError(t, f.journal.Compare(streamtest.Match(stored, f.journal.Start().Seq, f.filters...)), "client %d", i)
	}
	require.Greater(t, c.clients[0].connections, 1)
}
