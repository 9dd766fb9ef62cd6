//go:build unix

package socket_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// TestAConnectionBehindAPROXYHeaderIsTriedToo: its writes wait no more than any
// other's.
func TestAConnectionBehindAPROXYHeaderIsTriedToo(t *testing.T) {
	natstest.CheckGoroutines(t)
	l, err := socket.Listen(t.Context(), "127.0.0.1:0", socket.ListenOptions{})
	require.NoError(t, err)
	s := serveTaker(t, &proxyproto.Listener{Listener: l}, patient)
	client, err := net.DialTimeout("tcp", s.addr, natstest.Patience)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = io.WriteString(client, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	conn := natstest.Receive(t, s.conns)
	assert.True(t, conn.Takes())
	n, err := conn.TryWrite([]byte("5\r\nhello\r\n"))
	require.NoError(t, err)
	assert.Equal(t, 10, n)
	conn.Close(true)
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "5\r\nhello\r\n0\r\n\r\n", string(got))
}
