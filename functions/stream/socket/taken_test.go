//go:build unix

package socket_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// taken is a connection that has been taken from net/http, with its client.
type taken struct {
	*socket.Conn
	client *net.TCPConn
}

// taker is a server whose handler takes each connection.
type taker struct {
	watch *socket.Watch
	addr  string
	pace  socket.Pace
	conns chan *socket.Conn
}

// patient is the pace of a client that is never stalled in a test, hasty of one
// that is as soon as it takes nothing.
var (
	patient = socket.Pace{Stall: 10 * natstest.Patience, Piece: 16 << 10}
	hasty   = socket.Pace{Stall: 20 * time.Millisecond, Piece: 1 << 10}
)

// newTaker serves until the test ends. The watch ends after the connections.
func newTaker(t *testing.T, pace socket.Pace) *taker {
	t.Helper()
	natstest.CheckGoroutines(t)
	l, err := socket.Listen(t.Context(), "127.0.0.1:0", socket.ListenOptions{SendBuffer: 16 << 10})
	require.NoError(t, err)
	return serveTaker(t, l, pace)
}

func serveTaker(t *testing.T, l net.Listener, pace socket.Pace) *taker {
	t.Helper()
	s := &taker{watch: new(socket.Watch), addr: l.Addr().String(), pace: pace, conns: make(chan *socket.Conn, 1)}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := socket.Take(w, r, s.pace, s.watch)
		if err != nil {
			panic(err)
		}
		s.conns <- conn
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, natstest.Receive(t, served), http.ErrServerClosed)
		natstest.Await(t, func() { s.watch.Close() })
	})
	return s
}

// take is a new connection. Its client has a deadline for all that it reads.
func (s *taker) take(t *testing.T, proto string) taken {
	t.Helper()
	client, err := net.DialTimeout("tcp", s.addr, natstest.Patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(16<<10))
	require.NoError(t, client.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = fmt.Fprintf(client, "GET / %s\r\nHost: x\r\n\r\n", proto)
	require.NoError(t, err)
	return taken{natstest.Receive(t, s.conns), client.(*net.TCPConn)}
}

// open is a connection of HTTP/1.1 that the test closes.
func open(t *testing.T, pace socket.Pace) taken {
	t.Helper()
	return newTaker(t, pace).take(t, "HTTP/1.1")
}

// fill writes until the socket takes no more, and returns how much it took.
func (c taken) fill(t *testing.T) (bytes int) {
	t.Helper()
	for piece := make([]byte, 4<<10); ; {
		n, err := c.TryWrite(piece)
		require.NoError(t, err)
		if bytes += n; n < len(piece) {
			return bytes
		}
	}
}

// stall writes until the client, which does not read, has taken too little for
// too long.
func (c taken) stall() (err error) {
	for err == nil {
		err = c.Write(make([]byte, 1<<20))
	}
	return err
}
