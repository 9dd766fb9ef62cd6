package socket

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"sluice/functions/stream/feed/fanout"
)

// Pace is how fast a client must take bytes.
type Pace struct {
	Stall time.Duration // longest wait for a client to take Piece bytes
	Piece int           // bytes; a write is made in pieces of that size
}

// minPiece is the smallest piece, in bytes: a smaller one makes every block
// many writes.
const minPiece = 64

// NewPace is the pace of a client that takes minRate bytes per second at least,
// looked at over stall.
func NewPace(minRate int, stall time.Duration) Pace {
	return Pace{Stall: stall, Piece: max(minPiece, int(float64(minRate)*stall.Seconds()))}
}

// Response is the outlet through net/http. Its methods follow fanout.Outlet.
type Response struct {
	w    http.ResponseWriter
	ctl  *http.ResponseController
	pace Pace

	mu  sync.Mutex
	off bool // interrupted or done: the ResponseWriter must not be touched
}

// NewResponse is the outlet of a response whose header is written. The handler
// calls Done before it returns.
func NewResponse(w http.ResponseWriter, pace Pace) *Response {
	return &Response{w: w, ctl: http.NewResponseController(w), pace: pace}
}

var errInterrupted = errors.New("the write was interrupted")

// Write is part of fanout.Outlet. No deadline is left after a write that went
// well: HTTP/2 resets a stream when its deadline passes, also one that has
// nothing to write.
func (o *Response) Write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), o.pace.Piece)
		until := time.Now().Add(o.pace.Stall)
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
			return fanout.ErrStalled
		}
		if err != nil {
			return errors.Join(fanout.ErrGone, err)
		}
		p = p[n:]
	}
	o.deadline(time.Time{}) // an interruption since then keeps its own
	return nil
}

// deadline reports whether the response may still be written.
func (o *Response) deadline(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		_ = o.ctl.SetWriteDeadline(t)
	}
	return !o.off
}

// Interrupt is part of fanout.Outlet.
func (o *Response) Interrupt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		o.off = true
		_ = o.ctl.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Done gives the ResponseWriter back to net/http.
func (o *Response) Done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off {
		_ = o.ctl.SetWriteDeadline(time.Time{})
	}
	o.off = true
}
