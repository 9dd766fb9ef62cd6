package stream_test

import (
	"context"
	"io"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

func TestDrainDoesNotWaitForStuckClients(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) { o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 1<<20, 1<<30 })
		r.open(t, streamtest.Query{RecvBuf: 20_000})
		r.log.Pad = 1000
		r.log.PublishN(1000, "a")
		began := time.Now()
		r.edge.Shutdown(100*time.Millisecond, 300*time.Millisecond)
		assert.Less(t, time.Since(began), 9*time.Second, "STALL_TIMEOUT is 10s")
		assert.Zero(t, r.edge.Feed.Count())
	})
}

// TestRequestsWhileDraining are told in-band to come back: a 503 would stop an
// EventSource for good.
func TestRequestsWhileDraining(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		c := r.live(t)
		r.log.PublishN(5, "a")
		c.Events(t, 5)
		r.edge.Handler.Drain()
		for cursor, want := range map[string]string{"": r.log.ID(5), r.log.ID(2): r.log.ID(2), "nonsense": "nonsense"} {
			late := r.open(t, streamtest.Query{LastID: cursor})
			drain := late.System(t, "drain")
			assert.Equal(t, want, drain.ID, cursor)
			assert.NotEmpty(t, drain.Retry)
			_, err := late.Next()
			assert.ErrorIs(t, err, io.EOF)
		}
		bad, err := streamtest.Connect(r.edge.URL, streamtest.Query{Params: url.Values{"topic": {".."}}})
		require.NoError(t, err)
		defer bad.Close()
		assertError(t, "bad_topic", bad.Response)

		e := r.log.Publish("a")
		assert.Equal(t, e.Data, c.Event(t).Data, "open streams go on until it is their turn")
	})
}

// TestDrainReachesWhoComesLate: a client that was admitted while the others
// were being drained is drained too.
func TestDrainReachesWhoComesLate(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		everything := feed.Request{Topics: r.edge.Feed.Topics(), Wire: sse.NewEncoder("EVENTS", 0, 0)}
		// One that nobody serves yet keeps Drain waiting.
		unserved, err := r.edge.Feed.Subscribe(t.Context(), everything)
		require.NoError(t, err)
		early := r.live(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
			defer cancel()
			r.edge.Feed.Drain(ctx, 0)
		}()
		early.System(t, "drain")
		late := r.live(t)
		late.System(t, "drain")
		unserved.Abandon()
		natstest.Receive(t, done)
	})
}

// TestStopUnderClients ends the feed under clients in every state; nobody waits for ever.
func TestStopUnderClients(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, smallRing)
		r.log.Pad = 1000
		r.log.PublishN(1000, "a")
		everything := feed.Request{Topics: r.edge.Feed.Topics(), Wire: sse.NewEncoder("EVENTS", 0, 0)}
		unserved, err := r.edge.Feed.Subscribe(t.Context(), everything)
		require.NoError(t, err)
		idle := r.live(t)
		replaying := r.open(t, streamtest.Query{LastID: r.log.ID(0), RecvBuf: 20_000})
		r.edge.Stop()
		for _, c := range []*streamtest.Client{idle, replaying} {
			for err == nil {
				_, err = c.Next()
			}
			assert.NotErrorIs(t, err, io.EOF, "no proper end")
			err = nil
		}
		end := unserved.Serve(natstest.Context(t), discard{})
		assert.ErrorIs(t, end.Err, fanout.ErrClosed)
		assert.Zero(t, r.edge.Feed.Count())
		_, err = r.edge.Feed.Subscribe(t.Context(), everything)
		assert.ErrorIs(t, err, fanout.ErrClosed)
	})
}

// discard is an outlet that takes everything.
type discard struct{}

func (discard) Write([]byte) error { return nil }
func (discard) Interrupt()         {}

// TestDrainWhileClientsGo ends clients from both sides at once.
func TestDrainWhileClientsGo(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		for range 5 {
			var clients []*streamtest.Client
			for range 60 {
				clients = append(clients, r.live(t))
			}
			var ending sync.WaitGroup
			ending.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
				defer cancel()
				r.edge.Feed.Drain(ctx, 0)
			})
			ending.Go(func() {
				for _, c := range clients {
					c.Reset()
				}
			})
			ending.Go(func() { r.log.PublishN(20, "a") })
			ending.Wait()
			require.Zero(t, r.edge.Feed.Count())
		}
	})
}
