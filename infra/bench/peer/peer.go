// Package peer is the servers under load: Sluice in a process of its own,
// Sluice that runs already, and Nchan to compare with. Each is started on free
// loopback ports with its files in a temporary directory; after Stop no process
// and no file of it is left.
package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// Server is a running server under load.
type Server struct {
	// Name is what reports call it.
	Name string
	// Addr is where it takes HTTP clients.
	Addr netip.AddrPort
	// NATS is the URL of its NATS server, "" where it has none.
	NATS string
	// IDs says that its events carry Sluice's ids.
	IDs bool

	path      func(topic string) string
	publisher func(ctx context.Context, pending int) (Publisher, error)
	pid       int32 // with its children; 0 if not known
	stop      func() error
}

// Publisher gives events to a server, in order.
type Publisher interface {
	// Publish takes one event without waiting for its acknowledgement. It
	// blocks only while as many events as the publisher was made for are
	// unacknowledged. data must not change afterwards.
	Publish(ctx context.Context, topic string, data []byte) error
	// Flush waits until all are acknowledged, and fails if one was refused.
	Flush(ctx context.Context) error
	Close()
}

// Path is what a client of a topic asks for.
func (s *Server) Path(topic string) string { return s.path(topic) }

// Publisher makes a publisher that leaves at most so many events
// unacknowledged and works until ctx ends. The caller closes it before Stop.
func (s *Server) Publisher(ctx context.Context, pending int) (Publisher, error) {
	return s.publisher(ctx, pending)
}

// Stop ends the server if it was started here, and waits for its end.
func (s *Server) Stop() error {
	if s.stop == nil {
		return nil
	}
	return s.stop()
}

// Usage is what a server has used.
type Usage struct {
	CPU time.Duration // user and system time since its start
	RSS int64         // resident memory now, in bytes
}

// Usage asks the system about the server's process and its children. The zero
// Usage means that the process is not known.
func (s *Server) Usage(ctx context.Context) (u Usage, err error) {
	if s.pid == 0 {
		return u, nil
	}
	parent, err := process.NewProcessWithContext(ctx, s.pid)
	if err != nil {
		return u, fmt.Errorf("%s, process %d: %w", s.Name, s.pid, err)
	}
	children, err := parent.ChildrenWithContext(ctx)
	if err != nil && !errors.Is(err, process.ErrorNoChildren) {
		return u, fmt.Errorf("%s, process %d: %w", s.Name, s.pid, err)
	}
	for _, p := range append(children, parent) {
		times, err := p.TimesWithContext(ctx)
		if err != nil {
			return u, fmt.Errorf("%s, process %d: %w", s.Name, p.Pid, err)
		}
		memory, err := p.MemoryInfoWithContext(ctx)
		if err != nil {
			return u, fmt.Errorf("%s, process %d: %w", s.Name, p.Pid, err)
		}
		u.CPU += time.Duration((times.User + times.System) * float64(time.Second))
		u.RSS += int64(memory.RSS)
	}
	return u, nil
}

// KnowsUsage reports whether Usage can tell anything.
func (s *Server) KnowsUsage() bool { return s.pid != 0 }

// Ports are taken from below the range that systems use for outgoing
// connections: a client that waits for a server there can otherwise connect to
// itself.
const (
	firstPort, lastPort = 20000, 32000
	portTries           = 1000
)

// freePorts finds n TCP ports of loopback that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range portTries {
		if len(ports) == n {
			return ports, nil
		}
		var l net.Listener
		if l, err = net.Listen("tcp", loopback(firstPort+rand.IntN(lastPort-firstPort)).String()); err == nil {
			defer l.Close() // until all are found, so that they differ
			ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		}
	}
	return nil, fmt.Errorf("find a free port of 127.0.0.1: %w", err)
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// tempDir makes a directory that remove deletes with all in it.
func tempDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("temporary directory: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
