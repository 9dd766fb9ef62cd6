package stream

import (
	"context"
	"net"
	"time"
)

// ListenOptions bound what the kernel holds for a client.
type ListenOptions struct {
	// SendBuffer is SO_SNDBUF of each connection, in bytes. The kernel doubles
	// it for its own bookkeeping. 0 leaves the system's.
	SendBuffer int
	// UserTimeout is how long sent bytes may stay unacknowledged before the
	// connection is dead (TCP_USER_TIMEOUT, RFC 5482), where the system has
	// it. 0 leaves the system's.
	UserTimeout time.Duration
}

// Listen listens for HTTP clients on addr with TCP keepalive.
func Listen(ctx context.Context, addr string, o ListenOptions) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
		Control:         control(o),
	}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil || o.SendBuffer == 0 {
		return l, err
	}
	return listener{l, o.SendBuffer}, nil
}

type listener struct {
	net.Listener
	sendBuffer int
}

// Accept leaves the connection what it is: the direct way needs a TCPConn.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(l.sendBuffer)
	}
	return conn, err
}
