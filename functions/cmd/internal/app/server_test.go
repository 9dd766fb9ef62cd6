package app_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/app"
	"sluice/functions/settings"
	"sluice/functions/stream/socket"
)

// pipes is a network without a kernel, whose time is the test's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p <- server
	return client, nil
}

// TestAQuietStreamOutlivesEveryTimeout that the server has for requests, for
// writes and for connections without traffic: an hour of silence.
func TestAQuietStreamOutlivesEveryTimeout(t *testing.T) {
	cfg := defaults(t)
	for _, tt := range []struct {
		name string
		h2c  bool
	}{{"HTTP/1.1", false}, {"h2c", true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := make(chan string, 1)
				lines <- "before\n"
				body := open(t, tt.h2c, app.NewServer(cfg, streaming(func(w http.ResponseWriter, _ *http.Request) {
					out := socket.NewResponse(w, socket.NewPace(cfg.Client.MinRate, cfg.Client.StallTimeout))
					defer out.Done()
					for line := range lines {
						assert.NoError(t, out.Write([]byte(line)))
					}
				})))
				defer close(lines)
				line, err := body.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, "before\n", line)

				<-time.After(time.Hour)
				lines <- "after\n"
				line, err = body.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, "after\n", line)
			})
		})
	}
}

// streaming is a handler of streams.
func streaming(h http.HandlerFunc) func(streams func(http.Handler) http.Handler) http.Handler {
	return func(streams func(http.Handler) http.Handler) http.Handler { return streams(h) }
}

// defaults are the settings of local.
func defaults(t *testing.T) *settings.Shared {
	t.Helper()
	cfg, done, err := settings.ParseLocal(settings.Source{Getenv: func(string) (string, bool) { return "", false }, Stdout: io.Discard})
	require.NoError(t, err)
	require.False(t, done)
	return &cfg.Shared
}

// open serves on a network of its own and returns an answer's body. The test
// ends all.
func open(t *testing.T, h2c bool, srv *http.Server) *bufio.Reader {
	t.Helper()
	network := serve(t, srv)
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: network.dial}
	transport.Protocols.SetHTTP1(!h2c)
	transport.Protocols.SetUnencryptedHTTP2(h2c)
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://edge/", http.NoBody)
	require.NoError(t, err)
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return bufio.NewReader(resp.Body)
}
