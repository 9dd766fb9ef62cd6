package app_test

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/app"
	"sluice/functions/stream/socket"
)

// h2cPreface begins HTTP/2, with empty SETTINGS (RFC 9113, 3.4); h2cRequest is a
// GET whose body is still to come, h2cSmall a window of no bytes for answers.
const (
	h2cPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	h2cSmall   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"
	h2cRequest = "\x00\x00\x08\x01\x04\x00\x00\x00\x01\x82\x86\x41\x01x\x44\x01/"
)

// TestEveryConnectionWithoutAStreamEnds, whatever its client does or does not, and
// an answer does not wait for what its request lacks. The times are the server's
// own constants.
func TestEveryConnectionWithoutAStreamEnds(t *testing.T) {
	const header, body, answer, idle, still = 10 * time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 140 * time.Second
	for _, tt := range []struct {
		name, sent string
		reads      bool
		answered   bool // at once
		within     time.Duration
	}{
		{"nothing is sent", "", true, false, header},
		{"half a head", "GET / HTTP/1.1\r\nHost: x\r\n", true, false, header},
		{"a request, then half a head", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP", true, true, header},
		{"a request, then nothing", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", true, true, idle},
		{"a body that never comes", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", true, true, body},
		{"a body that comes in part", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12345678", true, true, body},
		{"a body that comes", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789", true, true, body},
		{"a large body that never comes", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", true, true, body},
		{"a chunk that never ends", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true, true, body},
		{"a body that waits for 100", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", true, true, body},
		{"an expectation and no body", "POST / HTTP/1.1\r\nHost: x\r\nExpect: all\r\nContent-Length: 9\r\n\r\n", true, true, still},
		{"OPTIONS * and no body", "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", true, true, body},
		{"an answer that is not read", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, false, answer},
		{"HTTP/2 without a stream", h2cPreface, true, true, idle + time.Second},
		{"HTTP/2 with a body that never comes", h2cPreface + h2cRequest, true, true, idle + time.Second},
		{"HTTP/2 with an answer that is not read", h2cSmall + h2cRequest, true, true, answer + idle + time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := dial(t, func(func(http.Handler) http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10_000)) })
				})
				go func() { _, _ = io.WriteString(conn, tt.sent) }() // the server's end ends it
				var got atomic.Int64                                 // bytes
				if tt.reads {
					go func() {
						for buf := make([]byte, 1000); ; {
							n, err := conn.Read(buf)
							if got.Add(int64(n)); err != nil {
								return
							}
						}
					}()
				}
				synctest.Wait()
				assert.Equal(t, tt.answered, got.Load() > 0)
				<-time.After(tt.within)
				synctest.Wait()
				_ = conn.SetReadDeadline(time.Now()) // fails on one that is closed
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
			})
		})
	}
}

// TestAQuietStreamOutlivesWhatEndsItsConnection: an hour without a byte, of streams
// behind which their connections end.
func TestAQuietStreamOutlivesWhatEndsItsConnection(t *testing.T) {
	for _, tt := range []struct{ name, sent string }{
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"},
		{"a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789"},
		{"a body that never comes", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := defaults(t)
				ended := make(chan error, 1)
				conn := dial(t, streaming(func(w http.ResponseWriter, r *http.Request) {
					out := socket.NewResponse(w, socket.NewPace(cfg.Client.MinRate, cfg.Client.StallTimeout))
					defer out.Done()
					assert.NoError(t, out.Write([]byte("before\n")))
					select {
					case <-r.Context().Done():
						t.Error("the stream is taken for one whose client is gone")
					case <-time.After(time.Hour):
					}
					ended <- out.Write([]byte("after\n"))
				}))
				go func() { _, _ = io.WriteString(conn, tt.sent) }() // the server's end ends it
				all, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.NoError(t, <-ended)
				assert.Contains(t, string(all), "after\n")
			})
		})
	}
}

// TestTheConnectionThatIsStillForLongestMakesRoom, and none that carries a stream,
// over HTTP/1.1 or HTTP/2.
func TestTheConnectionThatIsStillForLongestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := defaults(t)
		cfg.Server.MaxConnections = 3
		network := serve(t, app.NewServer(cfg, streaming(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
			<-r.Context().Done()
		})))
		connect := func(sent string) net.Conn {
			conn, err := network.dial(t.Context(), "", "")
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			go func() { _, _ = io.WriteString(conn, sent) }()
			go func() { _, _ = io.Copy(io.Discard, conn) }() // both end with the connection
			synctest.Wait()
			return conn
		}
		isOpen := func(conn net.Conn) bool {
			err := conn.SetDeadline(time.Time{}) // fails once the other end is closed
			return err == nil
		}
		streams := []net.Conn{connect("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), connect(h2cPreface + h2cRequest)}
		var still []net.Conn
		for range 5 {
			still = append(still, connect(""))
			<-time.After(time.Millisecond)
		}
		for i, conn := range still {
			assert.Equal(t, i >= 2, isOpen(conn), "%d", i)
		}
		for _, conn := range streams {
			assert.True(t, isOpen(conn))
		}
	})
}

// dial is a connection to a server of its own.
func dial(t *testing.T, handler func(streams func(http.Handler) http.Handler) http.Handler) net.Conn {
	t.Helper()
	conn, err := serve(t, app.NewServer(defaults(t), handler)).dial(t.Context(), "", "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// serve is a network with the server, which ends with the test.
func serve(t *testing.T, srv *http.Server) pipes {
	t.Helper()
	network := make(pipes)
	go func() { assert.ErrorIs(t, srv.Serve(network), http.ErrServerClosed) }()
	t.Cleanup(func() { _ = srv.Close() })
	return network
}
