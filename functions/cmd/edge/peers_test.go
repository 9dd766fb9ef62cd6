package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
)

// fromProxy connects from 127.0.0.2, where no test's own requests come from, and
// sends what such a proxy sends first.
func (e *edge) fromProxy(first string) net.Conn {
	e.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: natstest.Patience}
	conn, err := d.DialContext(e.t.Context(), "tcp", strings.TrimPrefix(e.URL(), "http://"))
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(e.t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = io.WriteString(conn, first)
	require.NoError(e.t, err)
	return conn
}

// proxyHeader is a PROXY header of the version, of a client at 192.0.2.7.
func proxyHeader(t *testing.T, version byte) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version,
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80})
	b, err := h.Format()
	require.NoError(t, err)
	return string(b)
}

// get is the status of an answer, its body's first bytes, and "" without one.
func get(conn net.Conn, request string) (status int, body string) {
	_, _ = io.WriteString(conn, request) // a connection that is closed answers nothing
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, ""
	}
	b := make([]byte, 512)
	n, _ := resp.Body.Read(b)
	return resp.StatusCode, string(b[:n])
}

const plainGet = "GET /stream?topic=.. HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// remotes are the addresses of refused requests, as the log has them.
func (e *edge) remotes() (all []string) {
	for _, record := range e.Records("streams are refused") {
		all = append(all, fmt.Sprint(record["remote"]))
	}
	return all
}

func testProxyProtocol(t *testing.T) {
	r := newRig(t)
	for _, version := range []byte{1, 2} {
		e := r.edge(t, "PROXY_PROTOCOL", "true", "TRUSTED_PROXIES", "127.0.0.2")
		status, _ := get(e.fromProxy(proxyHeader(t, version)), plainGet)
		require.Equal(t, http.StatusBadRequest, status)
		e.Eventually(func() bool { return len(e.remotes()) > 0 })
		assert.Equal(t, []string{"192.0.2.7:4711"}, e.remotes())
	}
	off := r.edge(t, "TRUSTED_PROXIES", "127.0.0.2")
	status, body := get(off.fromProxy(proxyHeader(t, 1)), plainGet)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "bad_request")
}

// TestOnlyTrustedProxiesSendAPROXYHeader: who is none has to speak HTTP, and who is
// one must not.
func TestOnlyTrustedProxiesSendAPROXYHeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, trusted := range []string{"127.0.0.2", "127.0.0.2/31,10.0.0.0/8"} {
		e := r.edge(t, "PROXY_PROTOCOL", "true", "TRUSTED_PROXIES", trusted)
		status, _ := get(e.fromProxy(""), plainGet)
		assert.Zero(t, status, "no header")
		assert.Empty(t, e.remotes(), "nothing of it is looked at")
	}
	e := r.edge(t, "PROXY_PROTOCOL", "true", "TRUSTED_PROXIES", "10.0.0.0/8")
	status, body := get(e.fromProxy(proxyHeader(t, 2)), plainGet)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "bad_request")
	assert.Equal(t, http.StatusOK, e.Do(http.MethodGet, "/livez").Status)
}

// TestStreamsBehindAPROXYHeaderAreServed, with net/http and without.
func TestStreamsBehindAPROXYHeaderAreServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, direct := range []string{"true", "false"} {
		e := r.edge(t, "PROXY_PROTOCOL", "true", "TRUSTED_PROXIES", "127.0.0.2", "DIRECT", direct)
		for _, version := range []byte{1, 2} {
			for _, together := range []bool{true, false} {
				t.Run(fmt.Sprintf("DIRECT %s v%d in one piece %v", direct, version, together), func(t *testing.T) {
					header, request := proxyHeader(t, version), "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
					var conn net.Conn
					if together {
						conn = e.fromProxy(header + request)
					} else {
						conn = e.fromProxy(header)
						_, err := io.WriteString(conn, request)
						require.NoError(t, err)
					}
					in := bufio.NewReader(conn)
					resp, err := http.ReadResponse(in, nil)
					require.NoError(t, err)
					assert.Equal(t, http.StatusOK, resp.StatusCode)
					assert.Equal(t, direct == "true", resp.Close)
					lines := bufio.NewScanner(resp.Body)
					until := func(text string) {
						for lines.Scan() {
							if strings.Contains(lines.Text(), text) {
								return
							}
						}
						t.Errorf("the stream ended before %q: %v", text, lines.Err())
					}
					until("event: system")
					sent := r.log.Publish("a")
					until(string(sent.Data))
					ended := len(e.Records("a stream ended"))
					_ = conn.Close()
					e.Eventually(func() bool { return len(e.Records("a stream ended")) > ended })
				})
			}
		}
		way := map[string]string{"true": "direct", "false": "http"}[direct]
		assert.NotContains(t, e.metrics(), `sse_connected_clients{way="`+way+`"} 1`, "all are gone")
	}
}

// TestABadPROXYHeaderEndsItsConnectionAlone.
func TestABadPROXYHeaderEndsItsConnectionAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.edge(t, "PROXY_PROTOCOL", "true", "TRUSTED_PROXIES", "127.0.0.2")
	c := e.live()
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	t.Run("all at once", func(t *testing.T) {
		for _, tt := range []struct{ name, sent string }{
			{"nothing", ""},
			{"half a header", "PROXY TCP4 192."},
			{"an endless line", "PROXY TCP4 " + strings.Repeat("1", 4000)},
			{"no address", "PROXY TCP4 a b c d\r\n"},
			{"an unknown version", v2 + "\x31\x11\x00\x0c" + strings.Repeat("\x01", 12)},
			{"a length that does not come", v2 + "\x21\x11\xff\xff"},
			{"too short a length", v2 + "\x21\x11\x00\x01\x01"},
			{"HTTP/2", h2cPreface},
			{"TLS", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				got, err := io.ReadAll(e.fromProxy(tt.sent))
				if err != nil {
					assert.ErrorContains(t, err, "reset", "and it is no timeout of this test")
				}
				assert.Empty(t, string(got))
			})
		}
	})
	assert.Equal(t, r.log.Publish("a").Data, c.Event(t).Data)
}

func TestHealthcheckPassesWhereLoopbackIsAProxy(t *testing.T) {
	t.Parallel()
	for _, trusted := range []string{"loopback", "10.0.0.0/8"} {
		env := map[string]string{"HOST": "127.0.0.1", "PROXY_PROTOCOL": "true", "TRUSTED_PROXIES": trusted}
		p := start(t, natstest.Start(t).URL(), env)
		_, env["PORT"], _ = strings.Cut(strings.TrimPrefix(p.URL(), "http://"), ":")
		assert.NoError(t, cmdtest.Start(t, run, env, "healthcheck").Wait(), trusted)
	}
}

// testMaxStreamsPerConnection: what is too much for one connection waits, or goes
// over another, as the client likes.
func testMaxStreamsPerConnection(t *testing.T) {
	e := newRig(t).edge(t, "MAX_STREAMS_PER_CONNECTION", "2")
	var dials atomic.Int32
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	opened := make(chan error, 3)
	bodies := make(chan io.Closer, 3)
	open := func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL()+"/stream", http.NoBody)
		if err == nil {
			var resp *http.Response
			if resp, err = transport.RoundTrip(req); err == nil {
				bodies <- resp.Body
			}
		}
		opened <- err
	}
	for range 2 {
		open()
		require.NoError(t, natstest.Receive(t, opened))
	}
	go open() // ends with the test's context
	e.Do(http.MethodGet, "/livez")
	select {
	case err := <-opened:
		t.Errorf("a third stream was opened: %v", err)
	case <-time.After(200 * time.Millisecond): // the edge would have answered it
	}
	require.NoError(t, (<-bodies).Close())
	require.NoError(t, natstest.Receive(t, opened))
	assert.EqualValues(t, 1, dials.Load())
	close(bodies)
	for body := range bodies {
		_ = body.Close()
	}
}

// testMaxTCPConnections: connections without a stream make room, those with one
// stay, and what comes behind as many of them as there may be is closed.
func testMaxTCPConnections(t *testing.T) {
	r := newRig(t)
	e := r.edge(t, "MAX_TCP_CONNECTIONS", "3")
	addr := strings.TrimPrefix(e.URL(), "http://")
	connect := func() net.Conn {
		conn, err := net.DialTimeout("tcp", addr, natstest.Patience)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
		return conn
	}
	first, second := e.live(), e.live()
	idle := connect()
	status, _ := get(idle, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	require.Equal(t, http.StatusOK, status)
	status, _ = get(connect(), plainGet)
	require.Equal(t, http.StatusBadRequest, status)
	_, err := idle.Read(make([]byte, 1))
	require.Error(t, err, "it made room")
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)

	third := e.live()
	status, _ = get(connect(), plainGet)
	assert.Zero(t, status)
	sent := r.log.Publish("a")
	assert.Equal(t, sent.Data, first.Event(t).Data)
	assert.Equal(t, sent.Data, second.Event(t).Data)
	assert.Equal(t, sent.Data, third.Event(t).Data)

	first.Close()
	e.Eventually(func() bool { status, _ := get(connect(), plainGet); return status == http.StatusBadRequest })
}
