package stream

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/functions/stream/feed"
)

// watch notices that clients close their connections. A goroutine blocked in
// Read for each of them would do it too, for 2.5 KB a client; one epoll set
// costs nothing while nobody closes.
type watch struct {
	mu    sync.Mutex
	file  *os.File // the epoll set, itself watched by the runtime's poller
	epoll int
	tasks sync.WaitGroup
	slots []watched
	free  []int32
}

// watched is a client's place in the set. A place is used again, so an event
// must be of the same turn.
type watched struct {
	out  *hijacked
	sub  *feed.Subscription
	turn int32
}

// ticket is a place and its turn; the zero value is none.
type ticket struct{ slot, turn int32 }

// watchEvents: data or a close, once for each arrival.
const watchEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// add cuts sub when the client on out closes its connection, until remove. If
// the system refuses, the next write to a gone client notices.
func (w *watch) add(out *hijacked, sub *feed.Subscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if out.raw == nil || w.start() != nil {
		return
	}
	if len(w.free) == 0 {
		w.slots = append(w.slots, watched{})
		w.free = append(w.free, int32(len(w.slots)-1))
	}
	slot := w.free[len(w.free)-1]
	place := &w.slots[slot]
	turn := place.turn + 1
	ev := unix.EpollEvent{Events: watchEvents, Fd: slot, Pad: turn}
	err := out.raw.Control(func(fd uintptr) {
		if unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(fd), &ev) == nil {
			w.free = w.free[:len(w.free)-1]
			*place = watched{out: out, sub: sub, turn: turn}
			out.ticket = ticket{slot, turn}
		}
	})
	_ = err // the connection is closed already: its next write notices
}

// remove forgets a client, whose connection is about to be closed.
func (w *watch) remove(out *hijacked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if out.ticket.turn == 0 {
		return
	}
	_ = out.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
	w.slots[out.ticket.slot] = watched{turn: out.ticket.turn}
	w.free = append(w.free, out.ticket.slot)
	out.ticket = ticket{}
}

// start makes the set at the first client. The lock is the caller's.
func (w *watch) start() error {
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

// close ends the watch and returns after its goroutine has.
func (w *watch) close() {
	w.mu.Lock()
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
	w.mu.Unlock()
	w.tasks.Wait()
}

func (w *watch) run(raw syscall.RawConn) {
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
func (w *watch) look(ev unix.EpollEvent) {
	w.mu.Lock()
	place := w.slots[ev.Fd]
	w.mu.Unlock()
	if place.turn != ev.Pad || place.sub == nil {
		return
	}
	// A close may stand behind more than is read at a time.
	const closed = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if ev.Events&closed != 0 || place.out.drainInput() {
		place.sub.Cut(feed.ErrGone)
	}
}

// drainInput throws away what the client sent, and reports whether the client
// has closed its side. Of one that never stops sending it takes 32 KiB for each
// arrival: what it sends next is an arrival again.
func (o *hijacked) drainInput() (closed bool) {
	var waste [512]byte
	err := o.raw.Control(func(fd uintptr) {
		for range 64 {
			n, err := syscall.Read(int(fd), waste[:])
			switch {
			case err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return
			case n <= 0:
				closed = true
				return
			}
		}
	})
	return closed || err != nil
}
