package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
	// returns ErrStalled when it does not; any error is final.
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

// writeBytes is about how much one catching-up write carries.
const writeBytes = 64 << 10

// blockedAfter is how long a write through net/http must have lasted to count
// as refused by the client; a shorter one may be this process's own lag.
const blockedAfter = 20 * time.Millisecond

// Subscription is one client's bounded, resumable view of its topics.
//
// It is served by its shard while the client keeps up over a Direct outlet,
// else by one goroutine, its pump. busy says by whom; whoever serves owns idx,
// pos, rest and sent.
type Subscription struct {
	feed   *Feed
	shard  *shard
	topics *Topics
	enc    Encoding
	out    Outlet
	direct Direct        // nil through net/http
	ended  func(End)     // of a direct one
	roused chan struct{} // of one through net/http, whose pump waits on it
	first  []byte        // what is written before all else

	busy atomic.Bool
	idx  uint64   // ring index of the next frame
	pos  event.ID // position up to which everything is written
	rest []byte   // what the socket refused of a write
	sent uint64

	writing atomic.Int64 // when the write under way began, Unix nanoseconds

	group       *group // these are the shard's
	slot, place int
	tick        int

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

// handful is what a shard hands on: events between two ring indexes.
type handful struct {
	first, upTo uint64
	from        event.ID // position at first, or earlier
	pos         event.ID // position at upTo
	events      int
	bytes       int
	at          time.Time
}

// Abandon gives up a subscription on which neither Serve nor Go was called.
func (s *Subscription) Abandon() { s.feed.dismiss(s) }

// Serve writes to out, the opening block first, until the client is gone, is
// cut or is told to come back, and returns how it went. It blocks; ctx is the
// request's.
func (s *Subscription) Serve(ctx context.Context, out Outlet) End {
	s.mu.Lock()
	s.out, s.roused = out, make(chan struct{}, 1)
	s.mu.Unlock()
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
	s.mu.Lock()
	s.out, s.direct, s.ended = out, out, ended
	s.mu.Unlock()
	s.busy.Store(true)
	s.start(func() {
		if err := s.begin(); err != nil {
			s.finish(err)
			return
		}
		s.run()
	})
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

// settled lets begin go on: the shard has answered, or will not. The lock is
// the caller's.
func (s *Subscription) settled() {
	if s.member != nil {
		close(s.member)
		s.member = nil
	}
}

// joined is called by the shard, at its place in the ring; it reports whether
// the subscription is still wanted.
func (s *Subscription) joined(at uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target, s.behind = at, at
	s.settled()
	return s.err == nil
}

// left is called by the shard when it has forgotten the subscription.
func (s *Subscription) left() {
	s.mu.Lock()
	err, busy := s.err, s.busy.Load()
	s.mu.Unlock()
	if s.direct != nil && !busy {
		s.finish(err)
	}
}

// pump writes until nothing is left, and then is not busy any more (nil), or
// until the subscription is over.
func (s *Subscription) pump() error {
	for {
		var err error
		switch job := s.next(); job.todo {
		case toIdle:
			return nil
		case toEnd:
			return job.err
		case toDrain:
			return s.farewell(job.reason)
		case toFinishWrite:
			rest := s.rest
			s.rest = nil
			err = s.write(rest)
		case toCatchUp:
			err = s.chunk(job.target)
		case toBeat:
			s.pos = job.pos
			err = s.write(job.beat)
		}
		if err != nil {
			return s.because(err)
		}
	}
}

// job is what a pump has to do next.
type job struct {
	todo   todo
	err    error      // toEnd
	reason sse.Reason // toDrain
	target uint64     // toCatchUp
	beat   []byte     // toBeat
	pos    event.ID   // toBeat
}

type todo int

const (
	toIdle todo = iota
	toEnd
	toFinishWrite
	toDrain
	toCatchUp
	toBeat
)

// next is what is to be done. When nothing is, the pump is no longer busy: the
// shard may serve from then on, and the pump must not look at s any more.
func (s *Subscription) next() job {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return job{todo: toEnd, err: s.err}
	case s.rest != nil:
		return job{todo: toFinishWrite}
	case s.reason != "":
		return job{todo: toDrain, reason: s.reason}
	}
	if s.idx >= s.behind {
		s.live = true
	}
	target := s.target
	if s.beat != nil {
		// All that was announced below the heartbeat goes first.
		if target = min(target, s.beatTo); s.idx >= target {
			beat := s.beat
			s.beat = nil
			if s.idx <= s.beatTo {
				s.idx = s.beatTo
				return job{todo: toBeat, beat: beat, pos: s.beatPos}
			}
			target = s.target
		}
	}
	if s.idx < target {
		return job{todo: toCatchUp, target: target}
	}
	s.busy.Store(false)
	s.refused, s.msgs, s.bytes = false, 0, 0
	return job{}
}

// chunk writes the next frames of the ring below target. However many clients
// catch up at once, only a few of them keep a processor busy: the shards, and
// so the clients that are live, come first.
func (s *Subscription) chunk(target uint64) error {
	s.feed.turns <- struct{}{}
	buf := framePool.Get().(*[]frame)
	defer framePool.Put(buf)
	frames, upTo, pos, ok := s.feed.ring.read((*buf)[:0], s.idx, target, writeBytes, s.topics)
	if !ok {
		<-s.feed.turns
		return s.catchUp()
	}
	var err error
	var rest []byte
	if len(frames) > 0 {
		rest, err = s.offer(s.enc.join(s.feed.cfg.Encoder, frames))
	}
	s.count(frames)
	clear(frames)
	*buf = frames
	<-s.feed.turns
	if err == nil && len(rest) > 0 {
		err = s.insist(rest)
	}
	s.idx, s.pos = upTo, pos
	return err
}

var framePool = sync.Pool{New: func() any { return new([]frame) }}

// count takes written frames off what is pending.
func (s *Subscription) count(frames []frame) {
	s.sent += uint64(len(frames))
	s.feed.metrics.sent.Add(float64(len(frames)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range frames {
		if s.refused && frames[i].index >= s.mark && s.msgs > 0 {
			s.msgs--
			s.bytes -= len(frames[i].block)
		}
	}
}

// write writes p, trying the socket first where that is possible.
func (s *Subscription) write(p []byte) error {
	rest, err := s.offer(p)
	if err != nil || len(rest) == 0 {
		return err
	}
	return s.insist(rest)
}

// offer writes what the socket takes at once, and returns the rest.
func (s *Subscription) offer(p []byte) (rest []byte, err error) {
	if s.direct == nil {
		return p, nil
	}
	n, err := s.direct.TryWrite(p)
	if err == nil && n < len(p) {
		s.refuse()
	}
	return p[n:], err
}

// insist writes p and waits for the client to take it.
func (s *Subscription) insist(p []byte) error {
	if s.direct == nil {
		s.writing.Store(time.Now().UnixNano())
		defer s.writing.Store(0)
	}
	return s.out.Write(p)
}

// refuse notes that the socket has not taken a write at once: what is announced
// from now on is pending.
func (s *Subscription) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live && !s.refused {
		s.refused, s.mark = true, s.target
	}
}

// announce tells of events that the shard has come to. It is called by the
// shard; a pump that was idle begins where the events do.
func (s *Subscription) announce(h handful) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	if at := s.writing.Load(); s.live && !s.refused && at != 0 && h.at.UnixNano()-at > int64(blockedAfter) {
		s.refused, s.mark = true, h.first
	}
	s.target = h.upTo
	if s.refused {
		s.msgs += h.events
		s.bytes += h.bytes
	}
	slow := s.msgs > s.feed.cfg.PendingMsgs || s.msgs > 1 && int64(s.bytes) > s.feed.cfg.PendingBytes
	idle := !s.busy.Load()
	if idle {
		s.idx, s.pos = h.first, h.from
		s.busy.Store(true)
	}
	s.mu.Unlock()
	// A socket that takes bytes again waits for its pump, not for its client.
	if slow && (s.direct == nil || !s.direct.Takes()) {
		s.end(ErrSlow)
	}
	if idle {
		s.kick()
	}
}

// kick starts the pump of an idle subscription, which is busy by now.
func (s *Subscription) kick() {
	if s.direct != nil {
		s.start(s.run)
		return
	}
	select {
	case s.roused <- struct{}{}:
	default:
	}
}

// try writes p to an idle direct subscription; what the socket refuses is the
// pump's. It is called by the shard.
func (s *Subscription) try(p []byte, h handful) {
	n, err := s.direct.TryWrite(p)
	s.idx, s.pos = h.upTo, h.pos
	s.sent += uint64(h.events)
	if err == nil && n == len(p) {
		return
	}
	s.mu.Lock()
	s.rest = p[n:]
	s.target, s.live, s.refused, s.mark = h.upTo, true, true, h.upTo
	s.busy.Store(true)
	s.mu.Unlock()
	if err != nil {
		s.end(err)
	}
	s.kick()
}

// heartbeat gives the subscription block, whose id is h's position, to write
// when everything before it is written.
func (s *Subscription) heartbeat(block []byte, h handful) {
	if s.direct != nil && !s.busy.Load() {
		s.try(block, h)
		return
	}
	s.mu.Lock()
	s.beat, s.beatTo, s.beatPos = block, h.upTo, h.pos
	idle := s.err == nil && !s.busy.Load()
	if idle {
		s.idx, s.target = h.upTo, h.upTo
		s.busy.Store(true)
	}
	s.mu.Unlock()
	if idle {
		s.kick()
	}
}

// rouse wakes an idle subscription at the shard's place in the log.
func (s *Subscription) rouse(at uint64, pos event.ID) {
	s.mu.Lock()
	idle := !s.busy.Load()
	if idle {
		s.idx, s.pos, s.target = at, pos, at
		s.busy.Store(true)
	}
	s.mu.Unlock()
	if idle {
		s.kick()
	}
}
