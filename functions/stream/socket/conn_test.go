//go:build unix

package socket_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// A Conn is what a shard writes to.
var _ fanout.Direct = (*socket.Conn)(nil)

// wrapper is a middleware's ResponseWriter that has only Unwrap.
type wrapper struct{ inner http.ResponseWriter }

func (w wrapper) Header() http.Header         { return w.inner.Header() }
func (w wrapper) WriteHeader(status int)      { w.inner.WriteHeader(status) }
func (w wrapper) Write(p []byte) (int, error) { return w.inner.Write(p) }
func (w wrapper) Unwrap() http.ResponseWriter { return w.inner }

// hijackable is a ResponseWriter as net/http has it for HTTP/1.
type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.ErrUnsupported
}

func TestWhatCanBeTaken(t *testing.T) {
	plain, h1 := http.ResponseWriter(httptest.NewRecorder()), http.ResponseWriter(hijackable{httptest.NewRecorder()})
	request := func(major int, encrypted bool) *http.Request {
		r := &http.Request{ProtoMajor: major}
		if encrypted {
			r.TLS = &tls.ConnectionState{}
		}
		return r
	}
	for _, tt := range []struct {
		name string
		w    http.ResponseWriter
		r    *http.Request
		want bool
	}{
		{"HTTP/1 in clear text", h1, request(1, false), true},
		{"TLS", h1, request(1, true), false},
		{"HTTP/2", h1, request(2, false), false},
		{"without Hijack", plain, request(1, false), false},
		{"behind Unwrap", wrapper{h1}, request(1, false), true},
		{"behind Unwrap twice", wrapper{wrapper{h1}}, request(1, false), true},
		{"behind Unwrap without Hijack", wrapper{wrapper{plain}}, request(1, false), false},
		{"behind Unwrap of nothing", wrapper{}, request(1, false), false},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, socket.CanTake(tt.w, tt.r)) })
	}
}

func TestWhatCannotBeTakenIsAnError(t *testing.T) {
	_, err := socket.Take(wrapper{httptest.NewRecorder()}, &http.Request{}, patient, new(socket.Watch))
	require.ErrorIs(t, err, http.ErrNotSupported)
}

func TestACleanEndIsTheLastChunk(t *testing.T) {
	for _, tt := range []struct{ proto, want string }{
		{"HTTP/1.1", "5\r\nhello\r\n0\r\n\r\n"},
		{"HTTP/1.0", "5\r\nhello\r\n"},
	} {
		t.Run(tt.proto, func(t *testing.T) {
			c := newTaker(t, patient).take(t, tt.proto)
			n, err := c.TryWrite([]byte("5\r\nhel"))
			require.NoError(t, err)
			require.Equal(t, 6, n)
			require.NoError(t, c.Write([]byte("lo\r\n")))
			c.Close(true)
			got, err := io.ReadAll(c.client)
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(got))
		})
	}
}

// assertReset wants the connection to be reset, behind what had arrived.
func assertReset(t *testing.T, client net.Conn) (got []byte) {
	t.Helper()
	got, err := io.ReadAll(client)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	return got
}

func TestAnyOtherEndIsAReset(t *testing.T) {
	for _, tt := range []struct {
		name   string
		clean  bool
		do     func(t *testing.T, c taken)
		stalls bool
	}{
		{"that is not clean", false, func(t *testing.T, c taken) { require.NoError(t, c.Write([]byte("x"))) }, false},
		{"behind a part of a write", true, func(t *testing.T, c taken) { c.fill(t) }, false},
		{"behind a part of a write, for a client that takes bytes again", true, func(t *testing.T, c taken) {
			_, err := io.CopyN(io.Discard, c.client, int64(c.fill(t)))
			require.NoError(t, err)
			require.Eventually(t, c.Takes, natstest.Patience, time.Millisecond)
		}, false},
		{"behind a write that stalled", true, func(t *testing.T, c taken) { require.ErrorIs(t, c.stall(), fanout.ErrStalled) }, true},
		{"whose last chunk cannot be written", true, func(t *testing.T, c taken) {
			require.NoError(t, c.Write([]byte("x")))
			c.Interrupt()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pace := patient
			if tt.stalls {
				pace = hasty
			}
			c := open(t, pace)
			tt.do(t, c)
			c.Close(tt.clean)
			assert.NotContains(t, string(assertReset(t, c.client)), "0\r\n\r\n")
		})
	}
}

func TestARefusedWriteGoesOnWhereItStopped(t *testing.T) {
	c := open(t, patient)
	want := bytes.Repeat([]byte("0123456789"), 1<<20/10)
	n, err := c.TryWrite(want)
	require.NoError(t, err)
	require.Less(t, n, len(want), "the socket does not take all of it")
	require.Positive(t, n)
	read := make(chan []byte, 1)
	go func() { // ends with the connection
		got, _ := io.ReadAll(c.client)
		read <- got
	}()
	require.NoError(t, c.Write(want[n:]))
	c.Close(true)
	got := natstest.Receive(t, read)
	require.Equal(t, len(want)+len("0\r\n\r\n"), len(got))
	require.True(t, bytes.HasPrefix(got, want))
}

func TestTakesIsTheSocketsWordAtThatMoment(t *testing.T) {
	c := open(t, patient)
	defer c.Close(false)
	require.True(t, c.Takes())
	filled := c.fill(t)
	// The kernel may move a little on to the client yet.
	require.Eventually(t, func() bool { filled += c.fill(t); return !c.Takes() }, natstest.Patience, time.Millisecond)
	_, err := io.CopyN(io.Discard, c.client, int64(filled))
	require.NoError(t, err)
	require.Eventually(t, c.Takes, natstest.Patience, time.Millisecond)
}

func TestAnInterruptionEndsAWriteUnderWay(t *testing.T) {
	c := open(t, patient)
	defer c.Close(false)
	wrote := make(chan error, 1)
	go func() { wrote <- c.Write(make([]byte, 8<<20)) }()
	// The client has some of it and takes no more: the write is under way.
	_, err := io.CopyN(io.Discard, c.client, 64<<10)
	require.NoError(t, err)
	c.Interrupt()
	require.EqualError(t, natstest.Receive(t, wrote), "the write was interrupted")
}

func TestAnInterruptionEndsEveryLaterWrite(t *testing.T) {
	c := open(t, patient)
	c.Interrupt()
	c.Interrupt()
	require.EqualError(t, c.Write([]byte("x")), "the write was interrupted")
	n, err := c.TryWrite([]byte("x"))
	require.Zero(t, n)
	require.EqualError(t, err, "the write was interrupted")
	c.Close(false)
	assert.Empty(t, assertReset(t, c.client))
}

func TestAClientThatTakesNothingIsStalled(t *testing.T) {
	c := open(t, hasty)
	defer c.Close(false)
	err := c.stall()
	require.ErrorIs(t, err, fanout.ErrStalled)
	require.NotErrorIs(t, err, fanout.ErrGone)
}

func TestAWriteToAGoneClientIsGone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(c taken) error
	}{
		{"trying", func(c taken) error { _, err := c.TryWrite([]byte("x")); return err }},
		{"waiting", func(c taken) error { return c.Write([]byte("x")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t, patient)
			defer c.Close(false)
			require.NoError(t, c.client.SetLinger(0))
			require.NoError(t, c.client.Close())
			var err error
			require.Eventually(t, func() bool { err = tt.write(c); return err != nil }, natstest.Patience, time.Millisecond)
			require.ErrorIs(t, err, fanout.ErrGone)
			require.NotErrorIs(t, err, fanout.ErrStalled)
		})
	}
}

// TestAfterCloseAConnMayStillBeInterruptedAndAsked: whoever cuts a client does
// not know that it has just ended.
func TestAfterCloseAConnMayStillBeInterruptedAndAsked(t *testing.T) {
	s := newTaker(t, patient)
	c := s.take(t, "HTTP/1.1")
	asked, asking := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(asking)
		for asked <- struct{}{}; c.Takes(); { // also while it is closed
		}
	}()
	natstest.Receive(t, asked)
	c.Close(true)
	natstest.Receive(t, asking)
	other := s.take(t, "HTTP/1.1") // its descriptor is likely to have the same number
	defer other.Close(false)
	c.Interrupt()
	assert.False(t, c.Takes(), "the other one would")
	assert.True(t, other.Takes())
	require.NoError(t, other.Write([]byte("x")))
}
