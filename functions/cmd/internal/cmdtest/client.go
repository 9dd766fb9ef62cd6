package cmdtest

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do asks for method and path, with headers as name, value, name, value.
func (p *Process) Do(method, path string, headers ...string) Answer {
	p.tb.Helper()
	return Do(p.tb, method, p.URL()+path, headers...)
}

// Do asks for method and url.
func Do(tb testing.TB, method, url string, headers ...string) Answer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
	defer cancel()
	resp, err := http.DefaultTransport.RoundTrip(request(ctx, tb, method, url, headers))
	require.NoError(tb, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	return Answer{resp.StatusCode, resp.Header, string(body)}
}

func request(ctx context.Context, tb testing.TB, method, url string, headers []string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	require.NoError(tb, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// WaitReady waits until /readyz says so.
func (p *Process) WaitReady() {
	p.tb.Helper()
	p.eventually(func() bool { return p.Do(http.MethodGet, "/readyz").Status == http.StatusOK }, "not ready")
}

// WaitNotReady waits until /readyz fails.
func (p *Process) WaitNotReady() {
	p.tb.Helper()
	p.eventually(func() bool { return p.Do(http.MethodGet, "/readyz").Status != http.StatusOK }, "still ready")
}

// Large is the size of an event that no buffers hold, in bytes.
const Large = 900_000

// Stick opens a stream whose first event must be Large, and stops reading in
// the middle of that: the process cannot come to the event's end.
func (p *Process) Stick(q streamtest.Query) {
	p.tb.Helper()
	q.RecvBuf = 32 << 10
	conn, err := streamtest.Dial(p.URL(), q)
	require.NoError(p.tb, err)
	p.tb.Cleanup(func() { _ = conn.Close() })
	require.NoError(p.tb, conn.SetReadDeadline(time.Now().Add(natstest.Patience)))
	_, err = io.ReadFull(conn, make([]byte, 8<<10)) // more than the head and the open block
	require.NoError(p.tb, err)
}

// Block is one block of an event stream.
type Block struct{ ID, Event, Data, Retry string }

// Client reads one stream.
type Client struct {
	tb     testing.TB
	Answer *http.Response
	lines  *bufio.Scanner
	ahead  chan bool // what lines.Scan says that Silent has begun, or nil
	cancel context.CancelFunc
}

// Open opens the stream at path and reads no more than the headers. h2c makes
// it HTTP/2; headers are as for Do.
func (p *Process) Open(path string, h2c bool, headers ...string) *Client {
	p.tb.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2c)
	transport.Protocols.SetUnencryptedHTTP2(h2c)
	ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
	resp, err := transport.RoundTrip(request(ctx, p.tb, http.MethodGet, p.URL()+path, append([]string{"Accept", "text/event-stream"}, headers...)))
	if err != nil {
		cancel()
		require.NoError(p.tb, err)
	}
	require.Equal(p.tb, http.StatusOK, resp.StatusCode)
	c := &Client{tb: p.tb, Answer: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	p.tb.Cleanup(func() {
		c.Close()
		transport.CloseIdleConnections()
	})
	return c
}

// Next reads the next block; ok is false at the end of the answer.
func (c *Client) Next() (b Block, ok bool) {
	c.tb.Helper()
	for c.scan() {
		name, value, _ := strings.Cut(c.lines.Text(), ": ")
		switch name {
		case "id":
			b.ID = value
		case "event":
			b.Event = value
		case "data":
			b.Data = value
		case "retry":
			b.Retry = value
		case "":
			if b != (Block{}) {
				return b, true
			}
		}
	}
	return Block{}, false
}

func (c *Client) scan() bool {
	if ahead := c.ahead; ahead != nil {
		c.ahead = nil
		return <-ahead
	}
	return c.lines.Scan()
}

// Silent wants that no line comes for that long, nor the answer's end.
func (c *Client) Silent(d time.Duration) {
	c.tb.Helper()
	ahead := make(chan bool, 1)
	go func() { ahead <- c.lines.Scan() }() // the test's end ends the answer
	select {
	case <-ahead:
		require.FailNow(c.tb, "not silent", "%q, %v", c.lines.Text(), c.lines.Err())
	case <-time.After(d):
		c.ahead = ahead
	}
}

// Err is why Next gave no more: nil when the answer ended well.
func (c *Client) Err() error { return c.lines.Err() }

// Close takes the client away.
func (c *Client) Close() {
	c.cancel()
	_ = c.Answer.Body.Close()
}

// Within fails the test unless f returns in time.
func Within(tb testing.TB, d time.Duration, f func()) {
	tb.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		require.FailNow(tb, "not within "+d.String())
	}
}
