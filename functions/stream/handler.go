package stream

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/socket"
)

// maxAgeSpread is by how much of MAX_AGE one connection's age limit differs from
// another's at most, so that not all come back at once.
const maxAgeSpread = 0.1

// Handler serves GET and HEAD of /stream. Make one with New.
type Handler struct {
	cfg   Config
	gate  *access.Gate
	watch socket.Watch
	pace  socket.Pace
	open  [ways]atomic.Int64

	drain    sync.Once
	draining chan struct{} // closed by Drain
}

// way is how a client is served.
type way int

const (
	direct      way = iota // on its connection, by the feed's shards
	throughHTTP            // by net/http
	ways
)

func (w way) String() string { return [ways]string{"direct", "http"}[w] }

// New returns a handler on cfg.Feed, which must run.
func New(cfg Config) *Handler {
	cfg.setDefaults()
	h := &Handler{
		cfg:  cfg,
		gate: cfg.Gate,
		pace: socket.NewPace(cfg.MinRate, cfg.StallTimeout),

		draining: make(chan struct{}),
	}
	for w := range ways {
		cfg.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sse_connected_clients", Help: "Open streams of this instance, by the way they are served.",
			ConstLabels: prometheus.Labels{"way": w.String()},
		}, func() float64 { return float64(h.open[w].Load()) }))
	}
	return h
}

// Drain has every later request told, in-band, to come back, and those that wait
// for the log: a 503 would stop an EventSource for good. The open streams are
// Feed.Drain's.
func (h *Handler) Drain() {
	h.gate.Drain()
	h.drain.Do(func() { close(h.draining) })
}

// Wait ends what watches the connections that are served directly. It is
// called when Feed.Run has returned, which closes them.
func (h *Handler) Wait() { h.watch.Close() }

// Direct is how many streams are served on connections that net/http does not
// know any more.
func (h *Handler) Direct() int { return int(h.open[direct].Load()) }

// ServeHTTP answers one request. Through net/http it returns when the stream
// ends, directly as soon as the stream has begun; OnEnd tells of the end.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, bad := h.parse(r)
	if bad != nil {
		h.refuse(w, r, &q, bad)
		return
	}
	grant, bad := h.gate.Admit(r, access.Want{Topics: q.Topics, Named: q.named})
	if bad != nil {
		h.refuse(w, r, &q, bad)
		return
	}
	q.Topics, q.Budget = grant.Topics, grant.Replay
	if err := h.waitForLog(r.Context()); err != nil {
		grant.Release()
		h.fail(w, r, &q, err)
		return
	}
	if r.Method == http.MethodHead {
		grant.Release()
		h.head(w, r)
		return
	}
	c := &connection{handler: h, grant: grant, request: q.line(r, grant), began: time.Now(), way: throughHTTP}
	if !h.cfg.ThroughHTTP && socket.CanTake(w, r) {
		c.way = direct
		if r.ProtoAtLeast(1, 1) {
			q.Wire = socket.Chunked{Wire: q.Wire}
		}
	}
	sub, err := h.cfg.Feed.Subscribe(r.Context(), q.Request)
	if err != nil {
		grant.Release()
		h.fail(w, r, &q, err)
		return
	}
	c.begin(sub)
	if c.way == direct {
		h.serveDirect(w, r, c)
	} else {
		h.serveHTTP(w, r, c)
	}
}

// waitForLog has a request to an instance that starts wait until the log has
// been read. The error is as Subscribe's.
func (h *Handler) waitForLog(ctx context.Context) error {
	loaded := h.cfg.Feed.Loaded()
	select {
	case <-loaded:
		return nil
	default:
	}
	timeout := time.NewTimer(h.cfg.StartTimeout)
	defer timeout.Stop()
	select {
	case <-loaded:
		return nil
	case <-h.draining:
		return fanout.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", feed.ErrNotReady, ctx.Err())
	case <-timeout.C:
		return feed.ErrNotReady
	}
}

// head answers HEAD as GET would be answered: what a GET finds only when it looks
// into the log is not looked for.
func (h *Handler) head(w http.ResponseWriter, r *http.Request) {
	defer end(r.Context(), End{Reason: "head"})
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
}
