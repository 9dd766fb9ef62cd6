package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Why a subscription ended.
var (
	// ErrSlow: more waited for the client than PendingMsgs or PendingBytes.
	ErrSlow = errors.New("the client is too slow")
	// ErrStalled: the client took less than the least rate for StallTimeout.
	// Outlets return it.
	ErrStalled = errors.New("the client takes no bytes")
	// ErrGone: the client closed its connection, or it broke.
	ErrGone = errors.New("the client is gone")
	// ErrDrained: the client was told to come back (Drain).
	ErrDrained = errors.New("the client was told to reconnect")
)

// Outlet is one client's way to its socket.
type Outlet interface {
	// Write writes all of p. It may block while the client takes bytes, and
	// returns ErrStalled when it does not, and only then; any error is final.
	Write(p []byte) error
	// Interrupt makes a Write under way, and every later one, fail soon. It
	// does not block and may be called at any time.
	Interrupt()
}

// Direct is an Outlet whose socket can be tried without waiting: its
// subscription needs no goroutine while the client keeps up.
type Direct interface {
	Outlet
	// TryWrite writes what the socket takes at once, maybe nothing.
	TryWrite(p []byte) (n int, err error)
	// Takes reports whether the socket would take bytes at this moment. It may
	// be called while a Write is under way.
	Takes() bool
	// Close ends the response, properly if clean and nothing was cut short.
	Close(clean bool)
}

// End is how a connection went, for its one log record.
type End struct {
	Err    error    // one of the errors above, or the outlet's own
	Reason string   // a word for it: slow, stalled, gone, closed, shutdown, max_age
	LastID event.ID // position up to which everything was written
	Sent   uint64   // events written
}

// Subscription is one client's bounded, resumable view of its topics.
//
// It is served by its shard while the client keeps up over a Direct outlet,
// else by one goroutine, its pump. busy says by whom; whoever serves owns idx,
// pos, rest and sent.
type Subscription struct {
	// What a shard needs for a write comes first: one cache line.
	direct Direct // nil through net/http
	busy   atomic.Bool
	idx    uint64   // ring index of the next frame
	pos    event.ID // position up to which everything is written
	sent   uint64
	rest   []byte // what the socket refused of a write

	feed   *Feed
	shard  *shard
	topics *Topics
	enc    Encoding
	out    Outlet
	ended  func(End)     // of a direct one
	roused chan struct{} // of one through net/http, whose pump waits on it
	first  []byte        // what is written before all else

	writing atomic.Int64 // when the write under way began, Unix nanoseconds

	group       *group // these are the shard's
	slot, place int
	tick        int
	suspected   bool

	mu      sync.Mutex
	err     error      // why it ends
	reason  sse.Reason // of the drain asked for
	target  uint64     // ring index up to which the shard has announced frames
	beat    []byte     // heartbeat to write when all below beatTo is written
	beatTo  uint64
	beatPos event.ID           // its id
	member  chan struct{}      // closed when the shard has joined it
	cancel  context.CancelFunc // of what the pump waits for
	behind  uint64             // ring index at which catching up is over
	live    bool               // it was caught up: the pending limits hold
	refused bool               // the socket refused bytes and has not taken all since
	mark    uint64             // ring index of the first event that counts as pending
	msgs    int                // pending events
	bytes   int                // pending bytes
	over    atomic.Bool
}

// Abandon gives up a subscription on which neither Serve nor Go was called.
func (s *Subscription) Abandon() { s.feed.dismiss(s) }

// Serve writes to out, the opening block first, until the client is gone, is
// cut or is told to come back, and returns how it went. It blocks; ctx is the
// request's.
func (s *Subscription) Serve(ctx context.Context, out Outlet) End {
	s.mu.Lock()
	s.roused = make(chan struct{}, 1)
	s.mu.Unlock()
	s.attach(out)
	stop := context.AfterFunc(ctx, func() { s.end(ErrGone) })
	defer stop()
	err := s.begin()
	for err == nil {
		if err = s.pump(); err == nil {
			<-s.roused
		}
	}
	return s.finish(err)
}

// Go writes head and then serves the client on out like Serve, but returns at
// once and keeps no goroutine where possible. It calls ended once, after the
// outlet's Close.
func (s *Subscription) Go(out Direct, head []byte, ended func(End)) {
	s.first = append(head, s.first...)
	s.busy.Store(true) // first: a client that is gone already is the pump's to end
	s.mu.Lock()
	s.direct, s.ended = out, ended
	s.mu.Unlock()
	s.attach(out)
	s.start(func() {
		if err := s.begin(); err != nil {
			s.finish(err)
			return
		}
		s.run()
	})
}

// attach gives the subscription its way to the client, who may be cut already.
func (s *Subscription) attach(out Outlet) {
	s.mu.Lock()
	s.out = out
	over := s.err != nil
	s.mu.Unlock()
	if over {
		out.Interrupt()
	}
}

func (s *Subscription) start(pump func()) {
	if !s.feed.spawn(pump) {
		s.finish(ErrClosed)
	}
}

// run is the pump of a direct subscription.
func (s *Subscription) run() {
	if err := s.pump(); err != nil {
		s.finish(err)
	}
}

// begin writes the opening, catches up with the ring and joins the shard.
func (s *Subscription) begin() error {
	s.busy.Store(true)
	if err := s.write(s.first); err != nil {
		return s.because(err)
	}
	s.first = nil
	if err := s.catchUp(); err != nil {
		return s.because(err)
	}
	return s.join()
}

// join makes the subscription a member of its shard, and waits until the shard
// has come to its place in the ring: what the shard hands on before that has
// been written already.
func (s *Subscription) join() error {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return s.err
	}
	joined := make(chan struct{})
	s.member = joined
	s.mu.Unlock()
	s.shard.post((*shard).join, s)
	<-joined
	return nil
}

// settled lets join go on: the shard has answered, or will not. The lock is
// the caller's.
func (s *Subscription) settled() {
	if s.member != nil {
		close(s.member)
		s.member = nil
	}
}
