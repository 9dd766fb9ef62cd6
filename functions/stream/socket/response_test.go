package socket_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/socket"
)

func TestPaceIsAPieceForEachStall(t *testing.T) {
	for _, tt := range []struct {
		rate  int
		stall time.Duration
		piece int
	}{
		{1024, 10 * time.Second, 10240},
		{1024, 250 * time.Millisecond, 256},
		{1, time.Second, 64},
		{64, time.Second, 64},
		{65, time.Second, 65},
		{0, time.Hour, 64},
	} {
		assert.Equal(t, socket.Pace{Stall: tt.stall, Piece: tt.piece}, socket.NewPace(tt.rate, tt.stall), "%d bytes/s over %s", tt.rate, tt.stall)
	}
}

// response is an http.ResponseWriter whose client takes so many bytes and then
// none. It keeps net/http's contract on deadlines.
type response struct {
	mu       sync.Mutex
	takes    int
	fails    error
	pieces   []int
	until    []time.Time // the deadlines of the pieces
	flushed  int
	deadline time.Time
	moved    chan struct{} // closed when the deadline moves
	touched  int           // calls of any kind
}

func newResponse(takes int) *response { return &response{takes: takes, moved: make(chan struct{})} }

func (r *response) Header() http.Header { return http.Header{} }
func (r *response) WriteHeader(int)     {}

func (r *response) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched++
	if r.fails != nil {
		return 0, r.fails
	}
	if r.takes -= len(p); r.takes >= 0 {
		r.pieces, r.until = append(r.pieces, len(p)), append(r.until, r.deadline)
		return len(p), nil
	}
	for { // the client takes nothing more
		left, moved := time.Until(r.deadline), r.moved
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		r.mu.Unlock()
		select {
		case <-time.After(left):
		case <-moved:
		}
		r.mu.Lock()
	}
}

func (r *response) FlushError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched++
	r.flushed++
	return nil
}

func (r *response) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched++
	r.deadline = t
	close(r.moved)
	r.moved = make(chan struct{})
	return nil
}

var pace = socket.Pace{Stall: time.Second, Piece: 100}

func TestAResponseIsWrittenInPiecesEachFlushedInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newResponse(1000)
		require.NoError(t, socket.NewResponse(w, pace).Write([]byte(strings.Repeat("x", 250))))
		assert.Equal(t, []int{100, 100, 50}, w.pieces)
		assert.Equal(t, 3, w.flushed)
		until := time.Now().Add(pace.Stall)
		assert.Equal(t, []time.Time{until, until, until}, w.until)
		assert.Zero(t, w.deadline, "a quiet response has none")
	})
}

func TestAResponseThatIsNotTakenInTimeIsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := socket.NewResponse(newResponse(100), pace).Write([]byte(strings.Repeat("x", 250)))
		require.ErrorIs(t, err, fanout.ErrStalled)
		assert.Equal(t, pace.Stall, time.Since(began))
	})
}

func TestAResponseThatFailsIsGone(t *testing.T) {
	broken := errors.New("broken pipe")
	w := newResponse(0)
	w.fails = broken
	err := socket.NewResponse(w, pace).Write([]byte("x"))
	require.ErrorIs(t, err, fanout.ErrGone)
	require.ErrorIs(t, err, broken)
}

func TestAnInterruptedWriteEndsAtOnceAndIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := socket.NewResponse(newResponse(0), pace)
		began := time.Now()
		time.AfterFunc(pace.Stall/2, out.Interrupt)
		err := out.Write([]byte("x"))
		require.EqualError(t, err, "the write was interrupted")
		assert.Equal(t, pace.Stall/2, time.Since(began))
	})
}

// interrupted is a response that is interrupted as its last byte goes out.
type interrupted struct {
	*response
	out *socket.Response
}

func (r *interrupted) FlushError() error {
	defer r.out.Interrupt()
	return r.response.FlushError()
}

func TestAnInterruptionBehindAGoodWriteIsKept(t *testing.T) {
	w := &interrupted{response: newResponse(100)}
	w.out = socket.NewResponse(w, pace)
	require.NoError(t, w.out.Write([]byte("x")))
	assert.Equal(t, time.Unix(1, 0), w.deadline)
	require.EqualError(t, w.out.Write([]byte("x")), "the write was interrupted")
}

func TestAfterAnInterruptionTheResponseIsNotTouched(t *testing.T) {
	w := newResponse(100)
	out := socket.NewResponse(w, pace)
	out.Interrupt()
	assert.Equal(t, time.Unix(1, 0), w.deadline, "a write under way ends")
	before := w.touched
	require.EqualError(t, out.Write([]byte("x")), "the write was interrupted")
	out.Interrupt()
	out.Done()
	assert.Equal(t, before, w.touched)
}

func TestADoneResponseIsNetHTTPsAgain(t *testing.T) {
	w := newResponse(100)
	out := socket.NewResponse(w, pace)
	require.NoError(t, out.Write([]byte("x")))
	out.Done()
	assert.Zero(t, w.deadline)
	before := w.touched
	out.Interrupt() // a cut that comes too late
	assert.Error(t, out.Write([]byte("x")))
	assert.Equal(t, before, w.touched)
}
