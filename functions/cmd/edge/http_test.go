package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed/natstest"
)

// TestRequestsAtTheEdgeOfHTTP are what a proxy in front could understand otherwise
// than the edge (RFC 9112). Each is followed by another request on its
// connection; who must not take what follows for one closes.
func TestRequestsAtTheEdgeOfHTTP(t *testing.T) {
	t.Parallel()
	const get, second = "GET /livez HTTP/1.1\r\nHost: x\r\n", "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	e := edgeOn(t, natstest.Start(t).URL())
	e.WaitReady()
	for _, tt := range []struct {
		name, sent string
		answers    []string // their status lines
	}{
		{"one after the other", get + "\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"HTTP/1.2", "GET /livez HTTP/1.2\r\nHost: x\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"HTTP/2.1", "GET /livez HTTP/2.1\r\nHost: x\r\n\r\n", []string{"HTTP/1.1 505 HTTP Version Not Supported: unsupported protocol version"}},
		{"HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n", []string{"HTTP/1.0 200 OK"}},
		{"HTTP/1.0 that keeps alive", "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []string{"HTTP/1.0 200 OK"}},
		{"HTTP/1.0 with chunks", "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.0 200 OK"}},
		{"a length and chunks", get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.1 200 OK"}},
		{"a length and chunks, to nothing", "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.1 404 Not Found"}},
		{"a body", get + "Content-Length: 5\r\n\r\nabcde", []string{"HTTP/1.1 200 OK"}},
		{"two equal lengths", get + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", []string{"HTTP/1.1 200 OK"}},
		{"two lengths", get + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nabcde", []string{"HTTP/1.1 400 Bad Request"}},
		{"a length of two values", get + "Content-Length: 5, 5\r\n\r\nabcde", []string{"HTTP/1.1 400 Bad Request"}},
		{"a length with a sign", get + "Content-Length: +5\r\n\r\nabcde", []string{"HTTP/1.1 400 Bad Request"}},
		{"an unknown coding", get + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.1 501 Not Implemented"}},
		{"chunked twice", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.1 501 Not Implemented"}},
		{"a space before the colon", get + "Content-Length : 5\r\n\r\nabcde", []string{"HTTP/1.1 400 Bad Request: invalid header name"}},
		{"a folded header", get + "X-Folded: a\r\n b\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"a folded coding", get + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", []string{"HTTP/1.1 200 OK"}},
		{"lines without CR", "GET /livez HTTP/1.1\nHost: x\n\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"a CR alone", get + "X-A: a\rContent-Length: 5\r\n\r\n", []string{"HTTP/1.1 400 Bad Request"}},
		{"no host", "GET /livez HTTP/1.1\r\n\r\n", []string{"HTTP/1.1 400 Bad Request: missing required Host header"}},
		{"two hosts", get + "Host: y\r\n\r\n", []string{"HTTP/1.1 400 Bad Request"}},
		{"an absolute target", "GET http://y/livez HTTP/1.1\r\nHost: x\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"CONNECT", "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n", []string{"HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"}},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"an expectation that is met", get + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", []string{"HTTP/1.1 200 OK"}},
		{"another expectation", get + "Expect: all\r\n\r\n", []string{"HTTP/1.1 417 Expectation Failed"}},
		{"an upgrade to h2c", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
		{"an upgrade to WebSocket", get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.answers, statusLines(exchange(t, e.Process, tt.sent+second)))
		})
	}
}

// TestAStreamIsTheLastAnswerOfItsConnection, and its status line is that of
// HTTP/1.1, or of 1.0 to who speaks no more.
func TestAStreamIsTheLastAnswerOfItsConnection(t *testing.T) {
	t.Parallel()
	const second = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	ways(t, func(t *testing.T, direct string) {
		for _, tt := range []struct{ name, sent, status string }{
			{"HTTP/1.1", "GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
			{"HTTP/1.2", "GET /stream HTTP/1.2\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
			{"HTTP/1.0", "GET /stream HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK"},
			{"HTTP/1.0 that keeps alive", "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200 OK"},
			{"a body", "GET /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 200 OK"},
			{"a body that never comes", "GET /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", "HTTP/1.1 200 OK"},
			{"a length and chunks", "GET /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				e := edgeOn(t, natstest.Start(t).URL(), "DIRECT", direct, "MAX_AGE", "1s", "STALL_TIMEOUT", "1m")
				e.WaitReady()
				got := exchange(t, e.Process, tt.sent+second)
				assert.Equal(t, []string{tt.status}, statusLines(got))
				assert.Contains(t, got, `"type":"open"`)
				assert.Contains(t, got, `"max_age"`)
			})
		}
	})
}

// exchange sends requests and reads until the edge closes.
func exchange(t *testing.T, p *cmdtest.Process, sent string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(p.URL(), "http://"), natstest.Patience)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = io.WriteString(conn, sent)
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	if !strings.Contains(string(got), "HTTP/") { // a reset may come behind the answer
		require.NoError(t, err)
	}
	return string(got)
}

func statusLines(answers string) (lines []string) {
	for scan := bufio.NewScanner(strings.NewReader(answers)); scan.Scan(); {
		// A body without a line end is on the line of the next status.
		if at := strings.Index(scan.Text(), "HTTP/"); at >= 0 {
			lines = append(lines, scan.Text()[at:])
		}
	}
	return lines
}
