package stream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"sluice/functions/access"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/socket"
	"sluice/publisher/event"
)

// connection is one stream from its grant to its log record.
type connection struct {
	handler *Handler
	grant   *access.Grant
	sub     *fanout.Subscription
	request requestLine
	began   time.Time
	age     *time.Timer // of MAX_AGE; nil for none
	overdue *time.Timer // of a last block; nil for none; under mu
	mu      sync.Mutex
	way     way
}

// requestLine is what the log record and OnEnd say of a request. The request
// itself is not kept.
type requestLine struct {
	topics string
	remote string
	onEnd  func(End)
}

// begin counts the stream and starts its age.
func (c *connection) begin(sub *fanout.Subscription) {
	c.sub = sub
	c.handler.open[c.way].Add(1)
	if age := c.handler.cfg.MaxAge; age > 0 {
		age += time.Duration((rand.Float64() - 0.5) * maxAgeSpread * float64(age))
		c.age = time.AfterFunc(age, func() { sub.Drain(wire.ReasonMaxAge) })
	}
	c.grant.Watch(c.lost)
}

// byeTimeout is how long a client whose leave was lost may take for its last
// block: it is gone within two seconds.
const byeTimeout = time.Second

// lost sends a client away whose grant is lost.
func (c *connection) lost(why access.Loss) {
	c.sub.Drain(wire.Reason(why))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue = time.AfterFunc(byeTimeout, func() { c.sub.Cut(fanout.ErrOverdue) })
}

// ended is called once, when the stream is over.
func (c *connection) ended(e fanout.End) {
	if c.age != nil {
		c.age.Stop()
	}
	c.handler.open[c.way].Add(-1)
	c.grant.Release()
	c.mu.Lock()
	if c.overdue != nil {
		c.overdue.Stop()
	}
	c.mu.Unlock()
	level := slog.LevelInfo
	if errors.Is(e.Err, fanout.ErrSlow) || errors.Is(e.Err, fanout.ErrStalled) {
		level = slog.LevelWarn
	}
	args := []any{"reason", e.Reason, "topics", c.request.topics, "last_id", e.LastID.String(), "sent", e.Sent,
		"seconds", time.Since(c.began).Seconds(), "remote", c.request.remote}
	if c.grant.Subject != "" {
		args = append(args, "subject", c.grant.Subject)
	}
	c.handler.cfg.Logger.Log(context.Background(), level, "a stream ended", args...)
	if c.request.onEnd != nil {
		c.request.onEnd(End{Reason: e.Reason, LastID: e.LastID, Sent: e.Sent, Direct: c.way == direct})
	}
}

// serveHTTP streams through the ResponseWriter.
func (h *Handler) serveHTTP(w http.ResponseWriter, r *http.Request, c *connection) {
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
	out := socket.NewResponse(w, h.pace)
	e := c.sub.Serve(r.Context(), out)
	out.Done()
	c.ended(e)
	if errors.Is(e.Err, http.ErrNotSupported) {
		h.cfg.Logger.Warn("a response cannot be flushed: a ResponseWriter around it has neither Flush nor Unwrap", "err", e.Err)
	}
	if !errors.Is(e.Err, fanout.ErrDrained) {
		panic(http.ErrAbortHandler) // do not let it look complete
	}
}

// serveDirect takes the connection over, answers, and leaves it to the feed
// and to the watch for the client's close.
func (h *Handler) serveDirect(w http.ResponseWriter, r *http.Request, c *connection) {
	conn, err := socket.Take(w, r, h.pace, &h.watch)
	if err != nil {
		h.cfg.Logger.Warn("a connection cannot be taken over: the Hijack of a ResponseWriter around it fails", "err", err)
		c.sub.Abandon()
		c.ended(fanout.End{Err: err, Reason: "gone"})
		panic(http.ErrAbortHandler) // an empty answer with 200 would stop an EventSource for good
	}
	h.watch.Add(conn, c.sub)
	c.sub.Go(conn, head(w.Header(), r), c.ended)
}

// End is how a stream went.
type End struct {
	// Reason is why it ended, as in the log and in sse_connections_ended_total;
	// of a request that was refused the code of the refusal, of HEAD "head".
	Reason string
	LastID event.ID // position up to which everything was written
	Sent   uint64   // events written
	Direct bool     // it was not served through net/http
}

type onEndKey struct{}

// OnEnd is a context for a request to Handler that has done called once, when
// its stream has ended or was refused. The handler's return says nothing: a
// direct stream goes on after it, so counters and spans around the handler end
// here. done must not block.
func OnEnd(ctx context.Context, done func(End)) context.Context {
	if outer := onEnd(ctx); outer != nil {
		inner := done
		done = func(e End) { inner(e); outer(e) }
	}
	return context.WithValue(ctx, onEndKey{}, done)
}

// onEnd is what OnEnd put into ctx; nil when there is none.
func onEnd(ctx context.Context) func(End) {
	done, _ := ctx.Value(onEndKey{}).(func(End))
	return done
}

// end tells of a request whose stream never began.
func end(ctx context.Context, e End) {
	if done := onEnd(ctx); done != nil {
		done(e)
	}
}
