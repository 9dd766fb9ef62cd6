package streamtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// Query is what a client asks for. The zero value is everything, live.
type Query struct {
	Topics []string
	LastID string      // the Last-Event-ID header
	Params url.Values  // other parameters of the URL
	Header http.Header // Accept is an EventSource's unless set
	Proto  string      // HTTP/1.1 unless set
	// RecvBuf bounds what the client's kernel takes without the client
	// reading (SO_RCVBUF), in bytes. 0 leaves the system's.
	RecvBuf int
}

func (q Query) path() string {
	params := url.Values{}
	for name, values := range q.Params {
		params[name] = values
	}
	if len(q.Topics) > 0 {
		params["topic"] = q.Topics
	}
	if len(params) == 0 {
		return "/stream"
	}
	return "/stream?" + params.Encode()
}

// request is the request as bytes.
func (q Query) request() []byte {
	var b bytes.Buffer
	proto := q.Proto
	if proto == "" {
		proto = "HTTP/1.1"
	}
	fmt.Fprintf(&b, "GET %s %s\r\nHost: localhost\r\n", q.path(), proto)
	if q.Header["Accept"] == nil {
		b.WriteString("Accept: text/event-stream\r\n")
	}
	if q.LastID != "" {
		fmt.Fprintf(&b, "Last-Event-ID: %s\r\n", q.LastID)
	}
	_ = q.Header.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// Client is one connection to an edge. It reads only when asked to, so it is
// as slow as its test wants. Its methods are for one goroutine.
type Client struct {
	Response *http.Response
	conn     net.Conn // nil over HTTP/2
	body     *metered
	parser   parser
	quiet    time.Time // when the first of the last heartbeats came; zero after another block
}

// metered counts the bytes of a body, and ends it where it is to be cut.
type metered struct {
	r    io.Reader
	read int
	left int // bytes until the cut, below 0 for none
}

// errCut is what a client's Next returns where CutAfter said so.
var errCut = fmt.Errorf("the client has cut itself")

func (m *metered) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, errCut
	}
	if m.left > 0 && len(p) > m.left {
		p = p[:m.left]
	}
	n, err := m.r.Read(p)
	m.read += n
	if m.left > 0 {
		m.left -= n
	}
	return n, err
}

// Dial connects and sends the request, and reads nothing. What is read and
// written within Patience needs no other deadline.
func Dial(base string, q Query) (net.Conn, error) {
	addr, overTLS := strings.CutPrefix(base, "https://")
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(addr, "http://"), natstest.Patience)
	if err != nil {
		return nil, err
	}
	if q.RecvBuf > 0 {
		if err := conn.(*net.TCPConn).SetReadBuffer(q.RecvBuf); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	_ = conn.SetDeadline(time.Now().Add(natstest.Patience))
	if overTLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	if _, err := conn.Write(q.request()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Connect opens a stream at base, such as http://127.0.0.1:8000, and reads the
// response's head, whatever its status is.
func Connect(base string, q Query) (*Client, error) {
	conn, err := Dial(base, q)
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), &http.Request{Method: http.MethodGet})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newClient(resp, conn), nil
}

// Over is a client on a response that something else has asked for, with a
// deadline of its own for the whole of it.
func Over(resp *http.Response) *Client { return newClient(resp, nil) }

func newClient(resp *http.Response, conn net.Conn) *Client {
	c := &Client{Response: resp, conn: conn, body: &metered{r: resp.Body, left: -1}}
	c.parser.r = bufio.NewReaderSize(c.body, 512)
	return c
}

// Open connects and wants an event stream. The connection is closed at the end
// of the test.
func Open(tb testing.TB, base string, q Query) *Client {
	tb.Helper()
	c, err := Connect(base, q)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	if c.Response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(c.Response.Body)
		require.FailNow(tb, c.Response.Status, string(body))
	}
	require.Equal(tb, "text/event-stream", c.Response.Header.Get("Content-Type"))
	return c
}

// Next is the next block: io.EOF after the last one of a response that ended
// as HTTP wants it, another error where it was cut, where nothing comes within
// Patience, or where for so long nothing but heartbeats comes.
func (c *Client) Next() (Block, error) {
	if c.conn != nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(natstest.Patience))
	}
	b, err := c.parser.next()
	if err != nil || b.Type != event.TypeHeartbeat {
		c.quiet = time.Time{}
		return b, err
	}
	if c.quiet.IsZero() {
		c.quiet = time.Now()
	}
	if time.Since(c.quiet) > natstest.Patience {
		err = errQuiet
	}
	return b, err
}

// errQuiet ends a client that waits for an event which does not come.
var errQuiet = fmt.Errorf("nothing but heartbeats for %s", natstest.Patience)

// Block is Next for a stream that must go on.
func (c *Client) Block(tb testing.TB) Block {
	tb.Helper()
	b, err := c.Next()
	require.NoError(tb, err)
	return b
}

// Event is the next event of the log; heartbeats before it are passed over,
// other blocks fail the test.
func (c *Client) Event(tb testing.TB) Block {
	tb.Helper()
	for {
		b := c.Block(tb)
		if b.IsEvent() {
			return b
		}
		require.Equal(tb, "heartbeat", b.Type, b.Data)
	}
}

// Events are the next n events.
func (c *Client) Events(tb testing.TB, n int) []Block {
	tb.Helper()
	var all []Block
	for range n {
		all = append(all, c.Event(tb))
	}
	return all
}

// System is the next block, which must be a system block of that type;
// heartbeats before it are passed over.
func (c *Client) System(tb testing.TB, typ string) Block {
	tb.Helper()
	for {
		b := c.Block(tb)
		if b.Type == "heartbeat" {
			continue
		}
		require.Equal(tb, "system", b.Type, b.Data)
		require.Equal(tb, typ, b.System().Type, b.Data)
		return b
	}
}

// LastID is the cursor with which the client would resume.
func (c *Client) LastID() string { return c.parser.lastID }

// Comments is how many comment lines have come.
func (c *Client) Comments() int { return c.parser.comments }

// CutAfter has the client see no more than n further bytes of the body. Bytes
// that are in its buffer count as seen.
func (c *Client) CutAfter(n int) { c.body.left = n }

// IsCut reports whether err is the cut that CutAfter asked for.
func IsCut(err error) bool { return err == errCut }

// Talk sends bytes after the request.
func (c *Client) Talk(p []byte) (int, error) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(natstest.Patience))
	return c.conn.Write(p)
}

// Close closes the connection.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
	} else {
		_ = c.Response.Body.Close()
	}
}

// Reset closes the connection with a TCP reset, as a crash does.
func (c *Client) Reset() {
	conn := c.conn
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn() // closed by itself it says no word of TLS
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
