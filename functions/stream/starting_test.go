package stream_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/stream"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

func encoderWithRetry(retry time.Duration) *sse.Encoder { return sse.NewEncoder("EVENTS", retry, 0) }

// starting is an edge with one place whose feed does not run yet.
type starting struct {
	*middleware
	handler *stream.Handler
	feed    *feed.Feed
	log     *streamtest.Log
	waits   chan struct{} // that a request waits, which has its place then
}

func newStarting(t *testing.T, way func(*streamtest.Options), timeout time.Duration) *starting {
	t.Helper()
	ns := natstest.Start(t)
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	f, err := feed.New(feed.Config{Conn: ns.Connect(t), Wire: encoder})
	require.NoError(t, err)
	var o streamtest.Options
	way(&o)
	o.Stream.Feed, o.Stream.Encoder, o.Stream.Gate, o.Stream.StartTimeout = f, encoder, access.NewGate(access.Config{MaxConnections: 1}), timeout
	s := &starting{handler: stream.New(o.Stream), feed: f, log: streamtest.NewLog(t, ns.JetStream(t)), waits: make(chan struct{}, 64)}
	s.middleware = behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handler.ServeHTTP(w, r.WithContext(noticed{r.Context(), s.waits}))
	}), nil)
	return s
}

// noticed is a context that tells when somebody waits for its end.
type noticed struct {
	context.Context
	waits chan struct{}
}

func (c noticed) Done() <-chan struct{} {
	select {
	case c.waits <- struct{}{}:
	default:
	}
	return c.Context.Done()
}

// run has the feed read the log until the test's end.
func (s *starting) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		_ = natstest.Receive(t, ended)
		s.handler.Wait()
	})
}

// connected is what comes of a request, when it does.
type connected struct {
	client *streamtest.Client
	err    error
}

// hold sends a request and waits until the edge holds it.
func (s *starting) hold(t *testing.T, q streamtest.Query) <-chan connected {
	t.Helper()
	came := make(chan connected, 1)
	go func() {
		c, err := streamtest.Connect(s.url, q)
		came <- connected{c, err}
	}()
	natstest.Receive(t, s.waits)
	require.Empty(t, came, "nothing is said yet")
	return came
}

// answered is the client of a request that was held.
func answered(t *testing.T, came <-chan connected) *streamtest.Client {
	t.Helper()
	got := natstest.Receive(t, came)
	require.NoError(t, got.err)
	t.Cleanup(got.client.Close)
	require.Equal(t, http.StatusOK, got.client.Response.StatusCode)
	return got.client
}

// isFull wants that there is no place.
func (s *starting) isFull(t *testing.T) {
	t.Helper()
	c, err := streamtest.Connect(s.url, streamtest.Query{Params: status})
	require.NoError(t, err)
	defer c.Close()
	assertError(t, "too_many_connections", c.Response)
	assert.Equal(t, "too_many_connections", natstest.Receive(t, s.ends).Reason)
}

func TestAStartingEdgeServesWhoHasWaited(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		t.Run(proto, func(t *testing.T) {
			ways(t, func(t *testing.T, way func(*streamtest.Options)) {
				natstest.CheckGoroutines(t)
				s := newStarting(t, way, natstest.Patience)
				s.log.PublishN(3, "a")
				came := s.hold(t, streamtest.Query{LastID: s.log.ID(1), Proto: proto})
				s.isFull(t)
				s.run(t)
				c := answered(t, came)
				assert.Equal(t, "complete", c.System(t, "open").System().Resumed)
				for _, want := range s.log.Match(1) {
					assert.Equal(t, want.Data, c.Event(t).Data)
				}
				assert.Equal(t, s.log.Publish("a").Data, c.Event(t).Data)
				s.isFull(t)
				c.Close()
				assert.Equal(t, "gone", natstest.Receive(t, s.ends).Reason)
				streamtest.Open(t, s.url, streamtest.Query{}).System(t, "open")
			})
		})
	}
}

func TestAStartingEdgeServesWhoHasWaitedOverHTTP2(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStarting(t, direct, natstest.Patience)
	came := make(chan *http.Response, 1)
	go func() { came <- h2c(t, http.MethodGet, s.url+"/stream") }()
	natstest.Receive(t, s.waits)
	s.isFull(t)
	s.run(t)
	c := streamtest.Over(natstest.Receive(t, came))
	c.System(t, "open")
	assert.Equal(t, s.log.Publish("a").Data, c.Event(t).Data)
}

func TestAStartingEdgeHoldsHeadToo(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		s := newStarting(t, way, natstest.Patience)
		came := make(chan *http.Response, 1)
		go func() {
			resp, _ := ask(t, http.MethodHead, s.url+"/stream")
			came <- resp
		}()
		natstest.Receive(t, s.waits)
		s.isFull(t)
		s.run(t)
		assert.Equal(t, http.StatusOK, natstest.Receive(t, came).StatusCode)
		assert.Equal(t, stream.End{Reason: "head"}, natstest.Receive(t, s.ends))
		streamtest.Open(t, s.url, streamtest.Query{}).System(t, "open") // the place is free
	})
}

func TestAHeldRequestEnds(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		t.Run("with its client", func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s := newStarting(t, way, time.Hour)
			for range 3 { // and each gives its place back
				conn, err := streamtest.Dial(s.url, streamtest.Query{})
				require.NoError(t, err)
				natstest.Receive(t, s.waits)
				require.NoError(t, conn.Close())
				assert.Equal(t, stream.End{Reason: "gone"}, natstest.Receive(t, s.ends))
			}
		})
		t.Run("with the process", func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s := newStarting(t, way, time.Hour)
			came := s.hold(t, streamtest.Query{LastID: s.log.ID(7)})
			s.handler.Drain()
			s.handler.Drain()
			c := answered(t, came)
			b := c.System(t, "drain")
			assert.Equal(t, s.log.ID(7), b.ID)
			assert.EqualValues(t, "shutdown", b.System().Reason)
			_, err := c.Next()
			assert.ErrorIs(t, err, io.EOF)
			assert.Equal(t, stream.End{Reason: "draining"}, natstest.Receive(t, s.ends))
		})
		t.Run("in time", func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s := newStarting(t, way, 100*time.Millisecond)
			for range 2 { // and gives its place back
				began := time.Now()
				c := streamtest.Open(t, s.url, streamtest.Query{LastID: s.log.ID(7)})
				b := c.System(t, "busy")
				assert.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
				assert.Equal(t, s.log.ID(7), b.ID)
				assert.EqualValues(t, "starting", b.System().Reason)
				_, err := c.Next()
				assert.ErrorIs(t, err, io.EOF)
				assert.Equal(t, stream.End{Reason: "starting"}, natstest.Receive(t, s.ends))
			}
		})
	})
}

// TestAHeldRequestWhoseTimeIsOverIsToldWhyToo: middleware may give it less.
func TestAHeldRequestWhoseTimeIsOverIsToldWhyToo(t *testing.T) {
	h := unready(t, func(c *stream.Config) { c.StartTimeout = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/stream", http.NoBody))
	assertError(t, "starting", w.Result())
}

// TestAFreshClientOfAnEdgeThatNeverReadGetsNoID: one that stands for nothing
// would bring it back to a start from the beginning.
func TestAFreshClientOfAnEdgeThatNeverReadGetsNoID(t *testing.T) {
	h := unready(t)
	m := behind(t, h, nil)
	assert.False(t, streamtest.Open(t, m.url, streamtest.Query{}).System(t, "busy").HasID)
	h.Drain()
	assert.False(t, streamtest.Open(t, m.url, streamtest.Query{}).System(t, "drain").HasID)
	assert.False(t, streamtest.Open(t, m.url, streamtest.Query{Params: url.Values{"from": {"start"}}}).System(t, "drain").HasID)
}
