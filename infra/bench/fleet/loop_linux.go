package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// tick is how often the loop looks for calls and measures its own lag.
	tick = 5 * time.Millisecond
	// batch is how many sockets one wait reports.
	batch = 1024
	// connectBurst bounds the connects between two waits.
	connectBurst = 64
	// readBytes is what one read takes at most.
	readBytes = 256 << 10
	// timer marks a tick among the events of epoll; clients have their index.
	timer = -1
)

// loop is the one thread of a fleet.
type loop struct {
	roster
	sockets []socket
	epoll   int
	timer   int
	due     int64 // of the next tick, Config.Now
	lag     *hdrhistogram.Histogram
	events  [batch]unix.EpollEvent
	buf     []byte // tailBytes, then what is read
	dial    dial
	calls   chan func()
	ended   chan struct{}
}

// dial is which clients are still to be connected: from at to end, evenly at a
// rate.
type dial struct {
	at, end int
	began   int64
	rate    float64 // per second
	resume  bool    // with a cursor
}

func newLoop(cfg Config) (*loop, error) {
	l := &loop{
		roster:  newRoster(cfg),
		sockets: make([]socket, cfg.Clients+cfg.Stuck),
		lag:     NewHistogram(),
		buf:     make([]byte, tailBytes+readBytes),
		calls:   make(chan func()),
		ended:   make(chan struct{}),
	}
	for i := range l.sockets {
		l.sockets[i].fd = -1
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("timer: %w", err), unix.Close(l.epoll))
	}
	return l, nil
}

// run is the loop.
func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.close()
	if err := l.startTicks(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		n, err := unix.EpollWait(l.epoll, l.events[:], -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for the clients: %w", err)
		}
		for _, e := range l.events[:max(n, 0)] {
			if e.Fd == timer {
				l.ticked()
			} else {
				l.ready(int(e.Fd), e)
			}
		}
		l.connectSome()
	}
	return nil
}

func (l *loop) close() {
	close(l.ended)
	for i := range l.sockets {
		l.shut(i)
	}
	_ = unix.Close(l.timer)
	_ = unix.Close(l.epoll)
}

func (l *loop) startTicks() error {
	every := unix.NsecToTimespec(int64(tick))
	if err := unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	l.due = l.cfg.Now() + int64(tick)
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: timer}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.timer, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// ticked measures how late the loop is, and makes the calls that wait for it.
func (l *loop) ticked() {
	var b [8]byte
	if n, err := unix.Read(l.timer, b[:]); err != nil || n != len(b) {
		return
	}
	now := l.cfg.Now()
	late := max(0, now-l.due)
	for range binary.NativeEndian.Uint64(b[:]) {
		// A tick that was missed was late by less than the one before it.
		if now >= l.tally.from && now < l.tally.to {
			Record(l.lag, late)
		}
		late = max(0, late-int64(tick))
		l.due += int64(tick)
	}
	for {
		select {
		case call := <-l.calls:
			call()
		default:
			return
		}
	}
}

func (l *loop) connectAll() {
	for i := range l.clients {
		l.clients[i].next = l.cfg.Newest(l.clients[i].topic) + 1
	}
	l.dial = dial{end: len(l.clients), began: l.cfg.Now(), rate: l.cfg.ConnectRate}
}

// storm closes all clients and plans to connect them again.
func (l *loop) storm(spread time.Duration, behind uint32) error {
	n := l.cfg.Clients
	for i := range n {
		l.shut(i)
		if !l.rewind(i, behind) {
			return fmt.Errorf("client %d has not had an event number above %d: publish more before the storm", i, behind)
		}
	}
	l.awaited = n
	l.dial = dial{end: n, began: l.cfg.Now(), rate: float64(n) / spread.Seconds(), resume: true}
	return nil
}

// connectSome begins the connects that are due.
func (l *loop) connectSome() {
	d := &l.dial
	if d.at == d.end {
		return
	}
	due := min(float64(d.end), float64(l.cfg.Now()-d.began)/1e9*d.rate)
	for burst := 0; d.at < int(due) && burst < connectBurst; burst++ {
		l.connect(d.at, d.resume)
		d.at++
	}
}

// cpu is what the loop's thread has used.
func (l *loop) cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// lagging is how many connected clients lack events.
func (l *loop) lagging() (n int) {
	for i := range l.clients[:l.cfg.Clients] {
		if l.sockets[i].fd >= 0 && l.lacks(i) > 0 {
			n++
		}
	}
	return n
}
