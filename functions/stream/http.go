package stream

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"sluice/functions/stream/feed"
)

// serveHTTP streams through the ResponseWriter.
func (h *Handler) serveHTTP(w http.ResponseWriter, r *http.Request, c *connection) {
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
	out := &response{w: w, ctl: http.NewResponseController(w), piece: h.cfg.piece(), stall: h.cfg.StallTimeout}
	e := c.sub.Serve(r.Context(), out)
	out.done()
	c.ended(e)
	if !errors.Is(e.Err, feed.ErrDrained) {
		panic(http.ErrAbortHandler) // do not let it look complete
	}
}

// response is the Outlet through net/http.
type response struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	piece int // bytes that the client must take within stall
	stall time.Duration

	mu  sync.Mutex
	off bool // interrupted or done: the ResponseWriter must not be touched
}

var errInterrupted = errors.New("the write was interrupted")

func (o *response) Write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), o.piece)
		until := time.Now().Add(o.stall)
		if !o.deadline(until) {
			return errInterrupted
		}
		_, err := o.w.Write(p[:n])
		if err == nil {
			err = o.ctl.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// An interruption moves the deadline into the past, before its time.
			if time.Now().Before(until) {
				return errInterrupted
			}
			return feed.ErrStalled
		}
		if err != nil {
			return errors.Join(feed.ErrGone, err)
		}
		p = p[n:]
	}
	return nil
}

func (o *response) deadline(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		_ = o.ctl.SetWriteDeadline(t)
	}
	return !o.off
}

func (o *response) Interrupt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		o.off = true
		_ = o.ctl.SetWriteDeadline(time.Unix(1, 0))
	}
}

// done is called before the handler returns: the ResponseWriter is net/http's
// again.
func (o *response) done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		_ = o.ctl.SetWriteDeadline(time.Time{})
	}
	o.off = true
}
