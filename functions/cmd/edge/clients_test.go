package main

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// testHeartbeatInterval: so many heartbeats would take minutes by default.
func testHeartbeatInterval(t *testing.T) {
	e := newRig(t).edge(t, "HEARTBEAT_INTERVAL", "100ms")
	began := time.Now()
	e.beats(e.live())
	assert.Less(t, time.Since(began), natstest.Patience)
}

func testRetry(t *testing.T) {
	r := newRig(t)
	c := r.edge(t, "RETRY", "1234ms").live()
	r.log.Publish("a")
	assert.Equal(t, "1234", c.Event(t).Retry)
}

func testMaxAge(t *testing.T) {
	c := newRig(t).edge(t, "MAX_AGE", "1s", "HEARTBEAT_INTERVAL", "1h").live() // nothing else comes
	assert.EqualValues(t, "max_age", c.System(t, "drain").System().Reason)
}

// testIDPosition reads the first line of a block.
func testIDPosition(t *testing.T) {
	r := newRig(t)
	for value, want := range map[string]string{"last": "event: system", "first": "id: " + r.log.ID(0)} {
		c := r.edge(t, "ID_POSITION", value).open(streamtest.Query{})
		line, err := bufio.NewReader(c.Response.Body).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, want+"\n", line)
	}
}

// testDirect looks at the head: net/http keeps its connections, a connection
// that is taken from it ends with the stream.
func testDirect(t *testing.T) {
	r := newRig(t)
	for _, value := range []string{"true", "false"} {
		assert.Equal(t, value, strconv.FormatBool(r.edge(t, "DIRECT", value).live().Response.Close))
	}
}

var running = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

// testShards counts goroutines. By default there is a shard for a processor.
func testShards(t *testing.T) {
	const many = 1000
	e := newRig(t).edge(t, "SHARDS", strconv.Itoa(many))
	found := running.FindStringSubmatch(e.metrics())
	require.NotNil(t, found)
	n, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	assert.Greater(t, n, many)
}

// testSndbuf looks at the socket of an edge in this process, which has just two
// sockets of the connection.
func testSndbuf(t *testing.T) {
	r := newRig(t)
	size := func(setting string) int {
		p := start(t, r.nats.URL(), map[string]string{"SNDBUF": setting})
		p.WaitReady()
		conn, err := streamtest.Dial(p.URL(), streamtest.Query{})
		require.NoError(t, err)
		defer conn.Close()
		// The answer's first byte comes after the connection was set up.
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(natstest.Patience)))
		_, err = conn.Read(make([]byte, 1))
		require.NoError(t, err)
		n, err := unix.GetsockoptInt(accepted(t, conn), unix.SOL_SOCKET, unix.SO_SNDBUF)
		require.NoError(t, err)
		return n
	}
	small, large := size("10000"), size("100000")
	assert.Contains(t, []int{10_000, 20_000}, small, "Linux doubles it")
	assert.Equal(t, 10*small, large)
}

// accepted is the descriptor of the other end of conn, which is in this process.
func accepted(t *testing.T, conn net.Conn) int {
	t.Helper()
	want, other := conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	found := -1
	require.Eventually(t, func() bool {
		for fd := range 4096 {
			peer, err := unix.Getpeername(fd)
			own, err2 := unix.Getsockname(fd)
			if errors.Join(err, err2) == nil && addrPort(peer) == want && addrPort(own) == other {
				found = fd
			}
		}
		return found >= 0
	}, natstest.Patience, poll)
	return found
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	v4, ok := a.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port))
}

func testMaxConnections(t *testing.T) {
	e := newRig(t).edge(t, "MAX_CONNECTIONS", "2")
	e.live()
	last := e.live()
	full := e.Do(http.MethodGet, "/stream")
	assert.Equal(t, http.StatusServiceUnavailable, full.Status)
	assert.Contains(t, full.Body, "too_many_connections")
	last.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) == 1 })
	e.live()
}
