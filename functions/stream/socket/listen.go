package socket

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"sluice/functions/access"
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
	if err != nil {
		return nil, err
	}
	return listener{l, o.SendBuffer}, nil
}

type listener struct {
	net.Listener
	sendBuffer int
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	tcp, ok := conn.(*net.TCPConn)
	if err != nil || !ok {
		return conn, err
	}
	if l.sendBuffer > 0 {
		_ = tcp.SetWriteBuffer(l.sendBuffer)
	}
	return clientConn{tcp}, nil
}

// clientConn has net/http say in JSON too what it refuses before a handler
// sees it, a request that is malformed or whose headers are too large, and has no
// such answer be sniffed. net/http writes that past all handlers, in one piece.
type clientConn struct{ *net.TCPConn }

// refusal is what net/http puts between the status and the same status as the
// body.
const refusal = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// unmet is the status of an expectation that net/http does not know. It has no body,
// as the answer to a HEAD must have none.
const unmet = " 417 Expectation Failed\r\n"

func (c clientConn) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return c.TCPConn.Write(p) // a stream's, which is not searched
	}
	if version, rest, ok := bytes.Cut(p, []byte(unmet)); ok && len(version) == len("HTTP/1.1") {
		_, err := fmt.Fprintf(c.TCPConn, "%s%sX-Content-Type-Options: nosniff\r\n%s", version, unmet, rest)
		return len(p), err
	}
	head, body, ok := bytes.Cut(p, []byte(refusal))
	if !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 4")) || len(body) > 256 {
		return c.TCPConn.Write(p)
	}
	why := access.Refusal{Code: access.BadRequest, Message: string(body)}
	if bytes.HasPrefix(head, []byte("HTTP/1.1 431")) {
		why.Code = access.HeadersTooLarge
	}
	_, err := fmt.Fprintf(c.TCPConn, "%s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s\n",
		head, why.Body())
	return len(p), err
}
