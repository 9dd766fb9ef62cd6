package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// portsPerSource is how many connections one source address is used for:
	// the system gives about 28,000 ports to each.
	portsPerSource = 20_000
	// stuckBuffer is the receive buffer of a client that never reads, in
	// bytes: small, so that it is stuck soon.
	stuckBuffer = 4 << 10
)

// socket is a client's connection.
type socket struct {
	fd         int    // -1 for none
	generation int32  // number of the connection, to ignore epoll's events of earlier ones
	requested  bool   // the request is sent
	cursor     string // Last-Event-ID of the request, "" for none
}

// connect begins a connection; the request follows when it is established.
func (l *loop) connect(i int, resume bool) {
	s, c := &l.sockets[i], &l.clients[i]
	s.generation++
	s.requested, s.cursor = false, ""
	c.response, c.tailLen = response{}, 0
	if resume {
		s.cursor = l.tally.cursor(c.lastID)
		c.since, c.goal = l.cfg.Now(), l.cfg.Newest(c.topic)
	}
	if err := l.open(i); err != nil {
		l.shut(i)
		l.fail(&l.failed, fmt.Errorf("connect to %s: %w", l.cfg.Server, err))
	}
}

func (l *loop) open(i int) error {
	family, to := sockaddr(l.cfg.Server)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s := &l.sockets[i]
	s.fd = fd
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	interest := uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET)
	if l.stuck(i) {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stuckBuffer))
		interest &^= unix.EPOLLIN
	}
	if from, ok := source(l.cfg, i); ok && err == nil {
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), unix.Bind(fd, from))
	}
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		return err
	}
	e := unix.EpollEvent{Events: interest, Fd: int32(i), Pad: s.generation}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e)
}

func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// source is the address from which client i connects when one address has too
// few ports for all.
func source(cfg Config, i int) (unix.Sockaddr, bool) {
	to := cfg.Server.Addr()
	if cfg.Clients+cfg.Stuck <= portsPerSource || !to.Is4() || !to.IsLoopback() {
		return nil, false
	}
	return &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i/portsPerSource)}}, true
}

// shut closes a client's connection, if it has one.
func (l *loop) shut(i int) {
	if s := &l.sockets[i]; s.fd >= 0 {
		_ = unix.Close(s.fd) // leaves the epoll set by that
		s.fd = -1
	}
}

// ready serves one client.
func (l *loop) ready(i int, e unix.EpollEvent) {
	s := &l.sockets[i]
	if s.fd < 0 || e.Pad != s.generation {
		return
	}
	if !s.requested && e.Events&unix.EPOLLOUT != 0 {
		l.request(i)
	}
	switch over := e.Events&(unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0; {
	case s.fd < 0:
	case !l.stuck(i):
		if over || e.Events&unix.EPOLLIN != 0 {
			l.read(i)
		}
	case over && s.requested:
		l.shut(i)
		l.stuckCut++
	case over:
		l.lose(i, errors.New("refused"))
	}
}

// request sends the request, which a new socket's buffer takes whole.
func (l *loop) request(i int) {
	s := &l.sockets[i]
	if code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		l.lose(i, errors.Join(err, unix.Errno(code)))
		return
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nUser-Agent: sluice-bench\r\n",
		l.cfg.Path(l.clients[i].topic), l.cfg.Server)
	if s.cursor != "" {
		request = fmt.Appendf(request, "Last-Event-ID: %s\r\n", s.cursor)
	}
	request = append(request, "\r\n"...)
	if n, err := unix.Write(s.fd, request); err != nil || n != len(request) {
		l.lose(i, errors.Join(err, errors.New("the request was not taken whole")))
		return
	}
	s.requested = true
	if l.stuck(i) {
		l.opened++
	}
}

// read takes what has come. Edge-triggered: up to a read that is not full.
func (l *loop) read(i int) {
	s, c := &l.sockets[i], &l.clients[i]
	for s.fd >= 0 {
		b := l.buf[tailBytes:]
		// The descriptor does not block, so Go's scheduler need not be told;
		// telling it costs a tenth of such a short call.
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			l.lose(i, errno)
			return
		case n == 0:
			l.lose(i, errors.New("closed by the server"))
			return
		}
		l.take(i, c, int(n))
		if int(n) < len(b) {
			return
		}
	}
}

// take takes the n bytes that were read into the buffer.
func (l *loop) take(i int, c *client, n int) {
	before := c.response.begun()
	n, err := c.response.body(l.buf[tailBytes : tailBytes+n])
	if !before && c.response.begun() {
		l.responded()
	}
	if n > 0 {
		l.tally.scan(c, l.buf, n, l.cfg.Now())
	}
	if err != nil {
		l.lose(i, err)
	}
}

// responded notes that a response has begun.
func (l *loop) responded() {
	if l.dial.resume {
		l.awaited--
	} else {
		l.opened++
	}
}

// lose notes a connection that has failed or that the server has ended.
func (l *loop) lose(i int, err error) {
	l.shut(i)
	switch c := &l.clients[i]; {
	case c.response.begun():
		l.fail(&l.cut, fmt.Errorf("client %d was cut: %w", i, err))
	case l.sockets[i].requested:
		l.fail(&l.refused, fmt.Errorf("client %d got no stream: %w", i, err))
	default:
		l.fail(&l.failed, fmt.Errorf("client %d could not connect: %w", i, err))
	}
}
