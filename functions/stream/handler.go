package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/socket"
	"sluice/publisher/event"
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
		gate: access.NewGate(access.Config{MaxConnections: cfg.MaxConnections, Logger: cfg.Logger, Registry: cfg.Registry}),
		pace: socket.NewPace(cfg.MinRate, cfg.StallTimeout),
	}
	for w := range ways {
		cfg.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sse_connected_clients", Help: "Open streams of this instance, by the way they are served.",
			ConstLabels: prometheus.Labels{"way": w.String()},
		}, func() float64 { return float64(h.open[w].Load()) }))
	}
	return h
}

// Drain has every later request told, in-band, to come back: a 503 would stop
// an EventSource for good. The open streams are Feed.Drain's.
func (h *Handler) Drain() { h.gate.Drain() }

// Wait ends what watches the connections that are served directly. It is
// called when Feed.Run has returned, which closes them.
func (h *Handler) Wait() { h.watch.Close() }

// ServeHTTP answers one request. Through net/http it returns when the stream
// ends, directly as soon as the stream has begun; OnEnd tells of the end.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, bad := h.parse(r)
	if bad != nil {
		h.refuse(w, r, &q, bad)
		return
	}
	grant, bad := h.gate.Admit()
	if bad != nil {
		h.refuse(w, r, &q, bad)
		return
	}
	if r.Method == http.MethodHead {
		grant.Release()
		h.head(w, r, &q)
		return
	}
	c := &connection{handler: h, grant: grant, request: q.line(r), began: time.Now(), way: throughHTTP}
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

// head answers HEAD as GET would be answered: what a GET finds only when it looks
// into the log is not looked for.
func (h *Handler) head(w http.ResponseWriter, r *http.Request, q *request) {
	if !h.cfg.Feed.Status().Loaded {
		h.fail(w, r, q, feed.ErrNotReady)
		return
	}
	defer end(r.Context(), End{Reason: "head"})
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
}

// fail answers a request that could not be subscribed.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, q *request, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		end(r.Context(), End{Reason: "gone"})
	case errors.Is(err, fanout.ErrClosed):
		h.refuse(w, r, q, access.Away())
	default:
		h.refuse(w, r, q, access.Unready(err))
	}
}

// refuse answers what is not served: in-band what an EventSource is to survive,
// else with a status.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q *request, why *access.Refusal) {
	h.gate.Note(why, r)
	defer end(r.Context(), End{Reason: string(why.Code)})
	retry := jitter(why.Retry)
	switch {
	case why.Code == access.Draining:
		writeBlock(w, r, h.awayBlock(q, retry))
	case why.Retry > 0 && q.busyInband:
		writeBlock(w, r, h.cfg.Encoder.AppendBusy(nil, q.cursor(), retry))
	default:
		why.Retry = retry
		why.Write(w)
	}
}

// awayBlock tells a client to come back, to another instance. Before the log is
// read there is no position to tell: a client without one stays without.
func (h *Handler) awayBlock(q *request, retry time.Duration) []byte {
	id := q.cursor()
	if pos := h.cfg.Feed.Position(); id == nil && pos != (event.ID{}) {
		id = &pos
	}
	if id == nil {
		return h.cfg.Encoder.AppendBusy(nil, nil, retry)
	}
	return h.cfg.Encoder.Bye(*id, wire.ReasonShutdown, retry)
}

// jitter is a time between d and 2d, so that not all come back at once.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d).Truncate(time.Millisecond)
}
