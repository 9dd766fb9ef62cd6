//go:build unix

package stream

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/functions/stream/feed"
)

// direct reports whether the request's connection can be served without
// net/http: HTTP/1 in clear text.
func (h *Handler) direct(w http.ResponseWriter, r *http.Request) bool {
	if h.cfg.ThroughHTTP || r.TLS != nil || r.ProtoMajor != 1 {
		return false
	}
	_, ok := w.(http.Hijacker)
	return ok
}

// serveDirect takes the connection over, answers, and leaves it to the feed
// and to a watch for the client's close. Nothing of net/http's
// buffers or of the request is kept.
func (h *Handler) serveDirect(w http.ResponseWriter, r *http.Request, c *connection) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		c.sub.Abandon()
		c.ended(feed.End{Err: err, Reason: "gone"})
		return
	}
	if c, ok := conn.(clientConn); ok {
		conn = c.TCPConn
	}
	out := &hijacked{conn: conn, piece: h.cfg.piece(), stall: h.cfg.StallTimeout, chunked: r.ProtoAtLeast(1, 1)}
	if sc, ok := conn.(syscall.Conn); ok {
		raw, err := sc.SyscallConn()
		if err == nil && raw.Control(func(fd uintptr) { out.fd = int(fd) }) == nil {
			out.raw = raw
		}
	}
	out.watch = &h.watch
	h.watch.add(out, c.sub)
	c.sub.Go(out, head(w.Header(), r), c.ended)
}

// head is the status line and the headers, with those that handlers around
// this one have set.
func head(set http.Header, r *http.Request) []byte {
	setHeaders(set, "close")
	set.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	b := append([]byte(nil), r.Proto+" 200 OK\r\n"...)
	if r.ProtoAtLeast(1, 1) {
		set.Set("Transfer-Encoding", "chunked")
	}
	buf := &writer{b}
	_ = set.Write(buf)
	return append(buf.b, '\r', '\n')
}

type writer struct{ b []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// hijacked is the Direct outlet: a connection taken from net/http. TryWrite,
// Write and Close are called by one goroutine at a time.
type hijacked struct {
	raw     syscall.RawConn // nil: no trying, every write waits
	fd      int             // conn's: it stays ours until Close
	off     atomic.Bool     // interrupted
	cut     bool            // a write ended in the middle: only a reset is honest
	chunked bool
	conn    net.Conn
	piece   int // bytes that the client must take within stall
	stall   time.Duration
	watch   *watch
	ticket  ticket // the watch's
}

// TryWrite writes what the socket's buffer takes. It does without RawConn.Write,
// whose locks and deadlines cost a tenth of a delivery: nobody else writes to
// the descriptor meanwhile, nor closes it.
func (o *hijacked) TryWrite(p []byte) (n int, err error) {
	switch {
	case o.raw == nil:
		return 0, nil
	case o.off.Load():
		return 0, errInterrupted
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		n, err = trySend(o.fd, p)
	}
	o.cut = n < len(p)
	if err != nil && err != syscall.EAGAIN {
		return n, errors.Join(feed.ErrGone, err)
	}
	return n, nil
}

// Takes asks the kernel, without waiting for a write that is under way.
func (o *hijacked) Takes() (yes bool) {
	if o.raw == nil {
		return false
	}
	_ = o.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		yes = err == nil && n == 1 && fds[0].Revents&unix.POLLOUT != 0
	})
	return yes
}

// Write waits for the client, in pieces.
func (o *hijacked) Write(p []byte) error {
	o.cut = true
	for len(p) > 0 {
		n := min(len(p), o.piece)
		_ = o.conn.SetWriteDeadline(time.Now().Add(o.stall))
		if o.off.Load() {
			return errInterrupted
		}
		if _, err := o.conn.Write(p[:n]); errors.Is(err, os.ErrDeadlineExceeded) {
			if o.off.Load() {
				return errInterrupted
			}
			return feed.ErrStalled
		} else if err != nil {
			return errors.Join(feed.ErrGone, err)
		}
		p = p[n:]
	}
	o.cut = false
	// A deadline that is left would fail a later TryWrite.
	_ = o.conn.SetWriteDeadline(time.Time{})
	if o.off.Load() {
		_ = o.conn.SetWriteDeadline(time.Unix(1, 0))
	}
	return nil
}

func (o *hijacked) Interrupt() {
	o.off.Store(true)
	_ = o.conn.SetWriteDeadline(time.Unix(1, 0))
}

// Close ends a clean response with its last chunk; any other is reset, which
// frees what the kernel holds for the client.
func (o *hijacked) Close(clean bool) {
	o.watch.remove(o)
	if clean && !o.cut {
		if o.chunked {
			_ = o.Write([]byte("0\r\n\r\n"))
		}
	} else if tcp, ok := o.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = o.conn.Close()
	o.fd = -1 // the number may be another connection's from now on
}
