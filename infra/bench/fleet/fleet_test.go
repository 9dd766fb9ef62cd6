//go:build linux

package fleet_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/fleet"
	"sluice/infra/bench/pace"
	"sluice/infra/bench/stamp"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

const epoch = 0x0198f5aa3c1d

// log is an SSE server that keeps what it has told.
type log struct {
	*httptest.Server
	clock pace.Clock

	mu     sync.Mutex
	blocks []string
	more   chan struct{} // closed when there is more
	head   uint32        // numbers given, withheld ones included
	asked  []string      // Last-Event-ID of each request
	refuse int           // requests still to be refused
	cut    chan struct{} // closed: end all responses
}

func newLog(t *testing.T) *log {
	l := &log{clock: pace.NewClock(), more: make(chan struct{}), cut: make(chan struct{})}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

// publish tells events to its clients; a withheld one only takes a number.
func (l *log) publish(n int, withheld bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.head++
		if !withheld {
			id := event.ID{Epoch: epoch, Seq: uint64(l.head)}
			l.blocks = append(l.blocks, fmt.Sprintf("id: %s\nevent: data\ndata: %s\n\n", id, stamp.Append(nil, l.clock.Now(), l.head, 20)))
		}
	}
	close(l.more)
	l.more = make(chan struct{})
}

// next waits for the block at position at.
func (l *log) next(ctx context.Context, at int) (string, bool) {
	for {
		l.mu.Lock()
		more, blocks := l.more, l.blocks
		l.mu.Unlock()
		if at < len(blocks) {
			return blocks[at], true
		}
		select {
		case <-more:
		case <-l.cut:
			return "", false
		case <-ctx.Done():
			return "", false
		}
	}
}

func (l *log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	cursor := r.Header.Get("Last-Event-ID")
	l.asked = append(l.asked, cursor)
	at := len(l.blocks)
	refuse := l.refuse > 0
	l.refuse--
	l.mu.Unlock()
	if refuse {
		http.Error(w, "full", http.StatusServiceUnavailable)
		return
	}
	if id, err := event.ParseID(cursor); err == nil {
		at = int(id.Seq)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	for flush.Flush() == nil {
		block, ok := l.next(r.Context(), at)
		if !ok {
			return
		}
		at++
		if _, err := w.Write([]byte(block)); err != nil {
			return
		}
	}
}

// run runs a fleet of n clients against l until the test's end.
func run(t *testing.T, l *log, n, stuck int) *fleet.Fleet {
	addr, err := netip.ParseAddrPort(l.Listener.Addr().String())
	require.NoError(t, err)
	f, err := fleet.New(fleet.Config{
		Server: addr, Clients: n, Stuck: stuck, ConnectRate: 10_000, IDs: true, Now: l.clock.Now,
		Topic: func(int) int { return 0 },
		Path:  func(int) string { return "/" },
		Newest: func(int) uint32 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.head
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, natstest.Receive(t, ended))
		_, err := f.Counts(context.Background())
		assert.Error(t, err, "a fleet that has ended answers with an error")
	})
	return f
}

func TestEveryClientCountsEveryEvent(t *testing.T) {
	l := newLog(t)
	l.publish(3, false) // before the clients: not theirs
	f := run(t, l, 20, 0)
	ctx := natstest.Context(t)
	require.NoError(t, f.Connect(ctx))
	require.NoError(t, f.Measure(ctx, 0, 1<<62))
	l.publish(50, false)
	c, err := f.Settle(ctx, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, 20, c.Open)
	assert.EqualValues(t, 1000, c.Deliveries)
	assert.Zero(t, c.Missing)
	assert.Zero(t, c.Again)
	assert.Zero(t, c.BadIDs)
	latency, lag, err := f.Latency(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 1000, latency.TotalCount())
	assert.Less(t, time.Duration(latency.Max()), 10*time.Second)
	assert.Positive(t, lag.TotalCount())
}

func TestALostEventIsMissing(t *testing.T) {
	l := newLog(t)
	f := run(t, l, 4, 0)
	require.NoError(t, f.Connect(natstest.Context(t)))
	l.publish(2, false)
	l.publish(1, true)
	l.publish(2, false)
	l.publish(1, true) // the last one: nothing that follows tells of it
	c, err := f.Settle(natstest.Context(t), 100*time.Millisecond)
	require.NoError(t, err)
	assert.EqualValues(t, 4*4, c.Deliveries)
	assert.EqualValues(t, 4*2, c.Missing)
}

func TestACutClientIsCounted(t *testing.T) {
	l := newLog(t)
	f := run(t, l, 3, 1)
	require.NoError(t, f.Connect(natstest.Context(t)))
	close(l.cut)
	l.CloseClientConnections() // the end of a response is not seen by who does not read
	var c fleet.Counts
	ctx := natstest.Context(t)
	require.Eventually(t, func() bool {
		var err error
		c, err = f.Counts(ctx)
		return assert.NoError(t, err) && c.Cut == 3 && c.StuckCut == 1
	}, 10*time.Second, 5*time.Millisecond)
	assert.ErrorContains(t, c.FirstError, "was cut")
	l.publish(1, false)
	c, err := f.Settle(natstest.Context(t), time.Minute)
	require.NoError(t, err)
	assert.EqualValues(t, 3, c.Missing, "what a cut client lacks is missing, and not waited for")
}

func TestConnectTellsWhyClientsGotNoStream(t *testing.T) {
	l := newLog(t)
	l.refuse = 1
	f := run(t, l, 3, 0)
	assert.ErrorContains(t, f.Connect(natstest.Context(t)), "503")
	c, err := f.Counts(natstest.Context(t))
	require.NoError(t, err)
	assert.Equal(t, 1, c.Refused)
	assert.Equal(t, 2, c.Open)

	closed := newLog(t)
	closed.Close()
	assert.ErrorContains(t, run(t, closed, 2, 0).Connect(natstest.Context(t)), "refused")
}

func TestStormComesBackWithCursors(t *testing.T) {
	l := newLog(t)
	f := run(t, l, 10, 0)
	require.NoError(t, f.Connect(natstest.Context(t)))
	_, err := f.Storm(natstest.Context(t), time.Second, 5, time.Second)
	require.ErrorContains(t, err, "publish more before", "there is no cursor so far back")

	l = newLog(t)
	l.publish(100, false)
	f = run(t, l, 10, 0)
	require.NoError(t, f.Connect(natstest.Context(t)))
	l.publish(1, false)
	_, err = f.Settle(natstest.Context(t), 10*time.Second)
	require.NoError(t, err)
	s, err := f.Storm(natstest.Context(t), 100*time.Millisecond, 60, 10*time.Second)
	require.NoError(t, err)
	assert.Positive(t, s.Reconnected)
	assert.GreaterOrEqual(t, s.CaughtUp, s.Reconnected)
	assert.EqualValues(t, 10, s.Each.TotalCount())
	c, err := f.Counts(natstest.Context(t))
	require.NoError(t, err)
	assert.EqualValues(t, 10+10*60, c.Deliveries)
	assert.Zero(t, c.Missing+c.Again+c.BadIDs)
	l.mu.Lock()
	defer l.mu.Unlock()
	cursor := event.ID{Epoch: epoch, Seq: 41}.String()
	for _, asked := range l.asked[10:] {
		assert.Equal(t, cursor, asked)
	}
}

func TestAStormThatIsNotOverInTimeSaysSo(t *testing.T) {
	l := newLog(t)
	l.publish(10, false)
	f := run(t, l, 2, 0)
	require.NoError(t, f.Connect(natstest.Context(t)))
	l.publish(1, false)
	_, err := f.Settle(natstest.Context(t), 10*time.Second)
	require.NoError(t, err)
	l.mu.Lock()
	l.refuse = 1
	l.mu.Unlock()
	s, err := f.Storm(natstest.Context(t), 10*time.Millisecond, 5, 200*time.Millisecond)
	require.NoError(t, err)
	assert.Zero(t, s.CaughtUp)
}
