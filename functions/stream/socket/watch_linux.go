package socket

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/functions/stream/feed/fanout"
)

// Watch notices that clients close their connections. Its zero value is ready;
// Close ends it. It is safe for concurrent use.
//
// A goroutine blocked in Read for each of them would do it too, for 2.5 KB a
// client; one epoll set costs nothing while nobody closes.
type Watch struct {
	mu     sync.Mutex
	closed bool
	file   *os.File // the epoll set, itself watched by the runtime's poller
	epoll  int
	tasks  sync.WaitGroup
	slots  []watched
	free   []int32
}

// watched is a client's place in the set. A place is used again, so an event
// must be of the same generation.
type watched struct {
	conn       *Conn
	sub        Cutter
	generation int32
}

// ticket is a place and its generation; the zero value is none.
type ticket struct{ slot, generation int32 }

// watchEvents: data or a close, once for each arrival.
const watchEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// Add cuts sub when the client on conn closes its connection or its side of it,
// until the Conn's Close. What the client sends is thrown away. If the system
// refuses, or the watch is closed, the next write to a gone client notices.
func (w *Watch) Add(conn *Conn, sub Cutter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if conn.raw == nil || w.closed || w.start() != nil {
		return
	}
	if len(w.free) == 0 {
		w.slots = append(w.slots, watched{})
		w.free = append(w.free, int32(len(w.slots)-1))
	}
	slot := w.free[len(w.free)-1]
	place := &w.slots[slot]
	generation := place.generation + 1
	ev := unix.EpollEvent{Events: watchEvents, Fd: slot, Pad: generation}
	err := conn.raw.Control(func(fd uintptr) {
		if unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(fd), &ev) == nil {
			w.free = w.free[:len(w.free)-1]
			*place = watched{conn: conn, sub: sub, generation: generation}
			conn.ticket = ticket{slot, generation}
		}
	})
	_ = err // the connection is closed already: its next write notices
}

// remove forgets a client, whose connection is about to be closed.
func (w *Watch) remove(conn *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if conn.ticket.generation == 0 {
		return
	}
	if !w.closed {
		_ = conn.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
	}
	w.slots[conn.ticket.slot] = watched{generation: conn.ticket.generation}
	w.free = append(w.free, conn.ticket.slot)
	conn.ticket = ticket{}
}

// start makes the set at the first client. The lock is the caller's.
func (w *Watch) start() error {
	if w.file != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	_ = unix.SetNonblock(fd, true) // lets the runtime's poller take it
	w.epoll, w.file = fd, os.NewFile(uintptr(fd), "epoll")
	raw, err := w.file.SyscallConn()
	if err != nil {
		_ = w.file.Close()
		w.file = nil
		return err
	}
	w.tasks.Go(func() { w.run(raw) })
	return nil
}

// Close ends the watch and returns after its goroutine has.
func (w *Watch) Close() {
	w.mu.Lock()
	w.closed = true
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
	w.mu.Unlock()
	w.tasks.Wait()
}

func (w *Watch) run(raw syscall.RawConn) {
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		if err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		}); err != nil {
			return
		}
		for _, ev := range events[:n] {
			w.look(ev)
		}
	}
}

// look reads what a client sent, and throws it away, or finds it gone.
func (w *Watch) look(ev unix.EpollEvent) {
	w.mu.Lock()
	place := w.slots[ev.Fd]
	w.mu.Unlock()
	if place.generation != ev.Pad || place.sub == nil {
		return
	}
	// A close may come after more than is read at a time.
	const closed = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if ev.Events&closed != 0 {
		place.sub.Cut(fanout.ErrGone)
		return
	}
	switch place.conn.drainInput() {
	case inputEnded:
		place.sub.Cut(fanout.ErrGone)
	case inputLeft:
		w.lookAgain(place.conn, ev)
	}
}

// lookAgain has the set tell of a client again, after the others that it has to
// tell of: what is left of its input is no arrival, and fills its window.
func (w *Watch) lookAgain(conn *Conn, ev unix.EpollEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	ev.Events = watchEvents
	_ = conn.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, int(fd), &ev) })
}

// input is what drainInput leaves of a client's.
type input int

const (
	inputNone  input = iota
	inputLeft        // there may be more
	inputEnded       // the client has closed its side
)

// drainInput throws away what the client sent, but not more than 32 KiB: the
// others wait meanwhile.
func (c *Conn) drainInput() (left input) {
	var waste [512]byte
	err := c.raw.Control(func(fd uintptr) {
		for range 64 {
			n, err := syscall.Read(int(fd), waste[:])
			switch {
			case err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return
			case n <= 0:
				left = inputEnded
				return
			}
		}
		left = inputLeft
	})
	if err != nil {
		return inputEnded
	}
	return left
}
