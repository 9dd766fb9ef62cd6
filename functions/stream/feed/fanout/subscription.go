package fanout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// Why a subscription ended.
var (
	// ErrSlow: more waited for the client than its Limits.
	ErrSlow = errors.New("the client is too slow")
	// ErrStalled: the client took less than the least rate for too long.
	// Outlets return it.
	ErrStalled = errors.New("the client takes no bytes")
	// ErrGone: the client closed its connection, or it broke.
	ErrGone = errors.New("the client is gone")
	// ErrDrained: the client got its last block (Drain).
	ErrDrained = errors.New("the client was told to reconnect")
	// ErrOverdue: the client was to get its last block, and did not take it in time.
	ErrOverdue = errors.New("the client does not take its last block")
	// ErrClosed: the feed stopped.
	ErrClosed = errors.New("the feed is closed")
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
	Err error // one of the errors above, or the outlet's own
	// Reason is a word for it: slow, stalled, gone, closed, or the reason of
	// the Drain.
	Reason string
	LastID event.ID // position up to which everything was written
	Sent   uint64   // events written
}

// Subscription is one client's bounded, resumable view of its topics. Package
// fanout's doc says who owns its fields.
type Subscription struct {
	// What a shard needs for a write comes first: one cache line.
	direct Direct // nil through net/http
	life   life
	at     place
	rest   []byte // to be written before all else: the opening, or what the socket refused of a write

	fan   *Fanout
	shard *shard
	view  view
	out   Outlet
	ended func(End) // of a direct one
	seat  seat

	mu      sync.Mutex
	asked   asked
	told    told
	pending pending
	pump    pump
}

// place is how far a client has been served.
type place struct {
	idx  uint64   // ring index of the next frame
	pos  event.ID // position up to which everything is written
	sent uint64   // events
}

// view is what a client asked for. Clients of equal views get the same bytes.
type view struct {
	topics *topics.Set
	wire   wire.Wire
}

// asked is what others want of a subscription: that it ends, and how.
type asked struct {
	err error       // at once, because of this
	bye wire.Reason // with a last block that says this
}

// told is what its shard has told a subscription of.
type told struct {
	upTo     uint64   // ring index up to which there are frames for it
	joinedAt uint64   // ring index of the shard when it joined: catching up ends there
	beat     []byte   // heartbeat to write when all below beatAt is written
	beatAt   uint64   // ring index
	beatPos  event.ID // the heartbeat's id
}

// pump is what a subscription's goroutine waits for, and since when.
type pump struct {
	wake    chan struct{}      // through net/http: that there is something to do
	joined  chan struct{}      // closed when the shard has answered that it joins; nil when not asked
	cancel  context.CancelFunc // of the log's wait under way
	writing atomic.Int64       // when the write through net/http under way began, Unix nanoseconds
	budget  Budget             // for what it reads of the log; nil for no end
	quiet   int64              // since when a scan of the ring has found nothing, or longer; Unix nanoseconds

	// Up to where a Subscription is a multiple of the cache line: else what a
	// shard needs of it lies in two of them for every other client, which
	// 10,000 idle ones show (4 % more CPU).
	_ [8]byte
}

// Abandon gives up a subscription on which neither Serve nor Go was called.
func (s *Subscription) Abandon() { s.fan.dismiss(s) }

// Limit bounds what is read of the log for the client. It is called before Open.
func (s *Subscription) Limit(b Budget) { s.pump.budget = b }

// Open settles where the client begins and its first block. Serve or Go
// follows.
func (s *Subscription) Open(at event.ID, open wire.Open) {
	s.at.pos, s.rest = at, s.view.wire.Open(at, open)
}

// Serve writes to out, the opening block first, until the client is gone, is
// cut or is sent away, and returns how it went. It blocks; ctx is the
// request's.
func (s *Subscription) Serve(ctx context.Context, out Outlet) End {
	wake := make(chan struct{}, 1)
	s.attach(out, func() { s.pump.wake = wake })
	stop := context.AfterFunc(ctx, func() { s.Cut(ErrGone) })
	defer stop()
	for {
		if err := s.run(); err != nil {
			return s.finish(err)
		}
		<-wake
	}
}

// Go writes head and then serves the client on out like Serve, but returns at
// once and keeps no goroutine where possible. It calls ended once, after the
// outlet's Close.
func (s *Subscription) Go(out Direct, head []byte, ended func(End)) {
	s.rest = append(head, s.rest...)
	s.attach(out, func() { s.direct, s.ended = out, ended })
	s.start()
}

// attach gives the subscription its way to the client, who may be cut already.
func (s *Subscription) attach(out Outlet, also func()) {
	s.mu.Lock()
	also()
	s.out = out
	over := s.asked.err != nil
	s.mu.Unlock()
	if over {
		out.Interrupt()
	}
}

// start starts the pump of a subscription that is not live any more, or not
// yet: by a goroutine, or by waking the one that has it.
func (s *Subscription) start() {
	if s.direct == nil {
		notify(s.pump.wake)
		return
	}
	started := s.fan.spawn(func() {
		if err := s.run(); err != nil {
			s.finish(err)
		}
	})
	if !started {
		s.finish(ErrClosed)
	}
}

// notify makes sure that the channel's one reader runs; a nil channel has none.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
