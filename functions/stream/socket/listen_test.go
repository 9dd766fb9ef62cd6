package socket_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// TestRefusalsBeforeAnyHandlerAreJSON: net/http refuses these by itself.
func TestRefusalsBeforeAnyHandlerAreJSON(t *testing.T) {
	l, err := socket.Listen(t.Context(), "127.0.0.1:0", socket.ListenOptions{SendBuffer: 64 << 10})
	require.NoError(t, err)
	srv := &http.Server{MaxHeaderBytes: 64 << 10, Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, natstest.Receive(t, served), http.ErrServerClosed)
	}()
	for _, tc := range []struct {
		name, request, code string
		status              int
	}{
		{"a megabyte of Last-Event-ID", "GET /stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "headers_too_large", 431},
		{"a megabyte of topics", "GET /stream?topic=" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", "headers_too_large", 431},
		{"no HTTP", "hello\r\n\r\n", "bad_request", 400},
		{"NUL in a header", "GET /stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\x00b\r\n\r\n", "bad_request", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", l.Addr().String(), natstest.Patience)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
			go func() { _, _ = conn.Write([]byte(tc.request)) }() // ends with the connection
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, tc.status, resp.StatusCode)
			assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			var e struct{ Error, Message string }
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
			assert.Equal(t, tc.code, e.Error)
			assert.NotEmpty(t, e.Message)
		})
	}
}
