package stream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// busyRetry is the least time after which a refused client is to come back.
const busyRetry = 5 * time.Second

// Handler serves GET /stream. Make one with New.
type Handler struct {
	cfg      Config
	open     atomic.Int64
	draining atomic.Bool
	memory   memory
	watch    watch
}

// New returns a handler on cfg.Feed, which must run.
func New(cfg Config) *Handler {
	cfg.setDefaults()
	return &Handler{cfg: cfg}
}

// Drain has every later request told, in-band, to come back: a 503 would stop
// an EventSource for good. The open streams are Feed.Drain's.
func (h *Handler) Drain() { h.draining.Store(true) }

// Wait ends what watches the connections that are served directly. It is
// called when Feed.Run has returned, which closes them.
func (h *Handler) Wait() { h.watch.close() }

// ServeHTTP answers one request. Through net/http it returns when the stream
// ends, directly as soon as the stream has begun.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, bad := parse(r)
	if q.everything {
		q.Topics = h.cfg.Feed.Topics()
	}
	if bad == nil && !h.cfg.Feed.Serves(q.Topics) {
		bad = &httpError{
			status: http.StatusNotFound, code: "topic_not_served",
			message: "this instance serves only " + h.cfg.Feed.Topics().String(),
		}
	}
	if bad != nil {
		bad.write(w)
		return
	}
	if h.draining.Load() {
		h.sendAway(w, r, &q)
		return
	}
	if h.open.Add(1) > int64(h.cfg.MaxConnections) {
		h.open.Add(-1)
		h.refuse(w, r, &q, "too_many_connections", "all connections of this instance are in use; try again later")
		return
	}
	if h.memory.low() {
		h.open.Add(-1)
		h.refuse(w, r, &q, "low_memory", "this instance is near its memory limit; try again later")
		return
	}
	direct := h.direct(w, r)
	q.Encoding.Chunked = direct && r.ProtoAtLeast(1, 1)
	sub, err := h.cfg.Feed.Subscribe(r.Context(), q.Request)
	if err != nil {
		h.open.Add(-1)
		h.fail(w, r, &q, err)
		return
	}
	c := &connection{handler: h, sub: sub, topics: q.Topics.String(), remote: r.RemoteAddr, began: time.Now()}
	if age := h.cfg.MaxAge; age > 0 {
		age += time.Duration((rand.Float64() - 0.5) * 0.1 * float64(age))
		c.age = time.AfterFunc(age, func() { sub.Drain(sse.ReasonMaxAge) })
	}
	if direct {
		h.serveDirect(w, r, c)
	} else {
		h.serveHTTP(w, r, c)
	}
}

// fail answers a request that could not be subscribed.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, q *request, err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, feed.ErrClosed):
		h.sendAway(w, r, q)
	default:
		h.cfg.Log.Warn("a stream could not begin", "err", err, "remote", r.RemoteAddr)
		h.refuse(w, r, q, "not_ready", "the event log cannot be read now; try again later")
	}
}

// sendAway tells a client to come back, to another instance. Before the log is
// read there is no position to tell: a client without one stays without.
func (h *Handler) sendAway(w http.ResponseWriter, r *http.Request, q *request) {
	retry := jitter(time.Second)
	id := q.cursor()
	if pos := h.cfg.Feed.Position(); id == nil && pos != (event.ID{}) {
		id = &pos
	}
	if id == nil {
		writeBlock(w, r, h.cfg.Encoder.AppendBusy(nil, nil, retry))
		return
	}
	writeBlock(w, r, h.cfg.Encoder.AppendDrain(nil, *id, sse.Drain{Reason: sse.ReasonShutdown}, retry))
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q *request, code, message string) {
	retry := jitter(busyRetry)
	if q.busyInband {
		writeBlock(w, r, h.cfg.Encoder.AppendBusy(nil, q.cursor(), retry))
		return
	}
	WriteError(w, http.StatusServiceUnavailable, code, message, retry)
}

// connection is what is known of one stream for its log record.
type connection struct {
	handler *Handler
	sub     *feed.Subscription
	topics  string
	remote  string
	began   time.Time
	age     *time.Timer
}

// ended is called once, when the stream is over.
func (c *connection) ended(e feed.End) {
	if c.age != nil {
		c.age.Stop()
	}
	c.handler.open.Add(-1)
	level := slog.LevelInfo
	if errors.Is(e.Err, feed.ErrSlow) || errors.Is(e.Err, feed.ErrStalled) {
		level = slog.LevelWarn
	}
	c.handler.cfg.Log.Log(context.Background(), level, "a stream ended", "reason", e.Reason, "topics", c.topics,
		"last_id", e.LastID.String(), "sent", e.Sent, "seconds", time.Since(c.began).Seconds(), "remote", c.remote)
}
