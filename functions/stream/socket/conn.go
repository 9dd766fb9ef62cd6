//go:build unix

package socket

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/functions/stream/feed/fanout"
)

// Conn is a client's connection taken from net/http: a fanout.Direct. TryWrite,
// Write and Close are called by one goroutine at a time, and none of them after
// Close. Interrupt and Takes may be called at any time, also after Close.
type Conn struct {
	guard   guard           // first: at the end it would take room also where it is empty
	raw     syscall.RawConn // nil: no trying, every write waits
	fd      int             // conn's, for TryWrite alone: it stays ours until Close
	off     atomic.Bool     // interrupted
	cut     bool            // a write ended in the middle: only a reset is honest
	chunked bool
	conn    net.Conn
	pace    Pace
	watch   *Watch
	ticket  ticket // the watch's
}

// CanTake reports whether a request's connection can be served without
// net/http: HTTP/1 in clear text that can be taken over, also through
// middleware that has Unwrap (http.ResponseController).
func CanTake(w http.ResponseWriter, r *http.Request) bool {
	return r.TLS == nil && r.ProtoMajor == 1 && canHijack(w)
}

func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// Take takes the connection over. Nothing of net/http's buffers or of the
// request is kept. The caller calls Watch.Add, and at the end Close.
func Take(w http.ResponseWriter, r *http.Request, pace Pace, watch *Watch) (*Conn, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if p, ok := conn.(interface{ Raw() net.Conn }); ok {
		conn = p.Raw() // its PROXY header was read before the request
	}
	if c, ok := conn.(clientConn); ok {
		conn = c.TCPConn
	}
	c := &Conn{conn: conn, pace: pace, chunked: r.ProtoAtLeast(1, 1), watch: watch}
	if sc, ok := conn.(syscall.Conn); ok {
		raw, err := sc.SyscallConn()
		if err == nil && raw.Control(func(fd uintptr) { c.fd = int(fd) }) == nil {
			c.raw = raw
		}
	}
	return c, nil
}

// TryWrite writes what the socket's buffer takes. It does without RawConn.Write,
// whose locks and deadlines cost a tenth of a delivery: nobody else writes to
// the descriptor meanwhile, nor closes it.
func (c *Conn) TryWrite(p []byte) (n int, err error) {
	c.guard.use()
	switch {
	case c.raw == nil:
		return 0, nil
	case c.off.Load():
		return 0, errInterrupted
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		n, err = trySend(c.fd, p)
	}
	c.cut = n < len(p)
	if err != nil && err != syscall.EAGAIN {
		return n, errors.Join(fanout.ErrGone, err)
	}
	return n, nil
}

// Takes asks the kernel, without waiting for a write that is under way. A closed
// connection takes nothing: RawConn, unlike fd, knows that it is closed.
func (c *Conn) Takes() (yes bool) {
	if c.raw == nil {
		return false
	}
	_ = c.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		yes = err == nil && n == 1 && fds[0].Revents&unix.POLLOUT != 0
	})
	return yes
}

// Write waits for the client, in pieces.
func (c *Conn) Write(p []byte) error {
	c.guard.use()
	c.cut = true
	for len(p) > 0 {
		n := min(len(p), c.pace.Piece)
		_ = c.conn.SetWriteDeadline(time.Now().Add(c.pace.Stall))
		if c.off.Load() {
			return errInterrupted
		}
		if _, err := c.conn.Write(p[:n]); errors.Is(err, os.ErrDeadlineExceeded) {
			if c.off.Load() {
				return errInterrupted
			}
			return fanout.ErrStalled
		} else if err != nil {
			return errors.Join(fanout.ErrGone, err)
		}
		p = p[n:]
	}
	c.cut = false
	return nil
}

// Interrupt is part of fanout.Outlet.
func (c *Conn) Interrupt() {
	c.off.Store(true)
	_ = c.conn.SetWriteDeadline(time.Unix(1, 0))
}

// Close ends a clean response with its last chunk; any other, also one that does
// not take its last chunk, is reset, which frees what the kernel holds for the
// client.
func (c *Conn) Close(clean bool) {
	c.watch.remove(c)
	if !clean || c.cut || !c.finish() {
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	c.guard.close()
	_ = c.conn.Close()
	c.fd = -1 // the number may be another connection's from now on
}

// finish writes what ends the response.
func (c *Conn) finish() bool { return !c.chunked || c.Write(lastChunk) == nil }
