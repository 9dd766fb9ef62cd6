package fanout

import (
	"time"

	"sluice/publisher/event"
)

// span is what a shard delivers: the events between two ring indexes that a
// group gets.
type span struct {
	first, upTo uint64
	from        event.ID // position at first, or earlier
	pos         event.ID // position at upTo
	events      int
	bytes       int
	at          time.Time
}

// blockedAfter is how long a write through net/http must have lasted to count
// as refused by the client; a shorter one may be this process's own lag.
const blockedAfter = 20 * time.Millisecond

// All methods here are called by the shard, which never waits.

// joined makes the subscription a member at the shard's place in the ring; it
// reports whether it is still wanted.
func (s *Subscription) joined(at uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.upTo, s.told.joinedAt = at, at
	s.answerJoin()
	return s.asked.err == nil
}

// left closes a subscription that the shard has forgotten, if nobody else
// serves it.
func (s *Subscription) left() {
	s.mu.Lock()
	err, ours := s.asked.err, s.direct != nil && s.life.is(Live)
	s.mu.Unlock()
	if ours {
		s.finish(err)
	}
}

// tell tells the pump of events that the shard has come to; the pump of a live
// subscription begins where the events do.
func (s *Subscription) tell(sp span) {
	s.mu.Lock()
	if s.asked.err != nil {
		s.mu.Unlock()
		return
	}
	if at := s.pump.writing.Load(); at != 0 && sp.at.UnixNano()-at > int64(blockedAfter) {
		s.pending.refuse(sp.first)
	}
	s.told.upTo = sp.upTo
	s.pending.add(sp.events, sp.bytes)
	slow := s.pending.over(s.fan.cfg.Limits)
	start := s.life.on(waits)
	if start {
		s.at.idx, s.at.pos = sp.first, sp.from
	}
	s.mu.Unlock()
	if slow {
		s.shard.suspect(s)
	}
	if start {
		s.start()
	}
}

// deliver writes p, which renders the span, to a live direct subscription; what
// the socket refuses is the pump's.
func (s *Subscription) deliver(p []byte, sp span) {
	n, err := s.direct.TryWrite(p)
	s.at.idx, s.at.pos = sp.upTo, sp.pos
	s.at.sent += uint64(sp.events)
	if err == nil && n == len(p) {
		return
	}
	s.mu.Lock()
	s.rest, s.told.upTo = p[n:], sp.upTo
	s.pending.refuse(sp.upTo)
	s.life.on(waits)
	s.mu.Unlock()
	if err != nil {
		s.Cut(err)
	}
	s.start()
}

// beat gives the subscription a heartbeat, whose id is the span's position, to
// write when everything before it is written.
func (s *Subscription) beat(block []byte, sp span) {
	if s.direct != nil && s.life.is(Live) {
		s.deliver(block, sp)
		return
	}
	s.mu.Lock()
	s.told.beat, s.told.beatAt, s.told.beatPos = block, sp.upTo, sp.pos
	start := s.asked.err == nil && s.life.on(waits)
	if start {
		s.at.idx, s.told.upTo = sp.upTo, sp.upTo
	}
	s.mu.Unlock()
	if start {
		s.start()
	}
}

// drain has a live subscription get its last block, at the shard's place in
// the log; the pump of any other one looks for that itself.
func (s *Subscription) drain(at uint64, pos event.ID) {
	s.mu.Lock()
	start := s.asked.err == nil && s.life.is(Live) && s.life.on(sentAway)
	if start {
		s.at.idx, s.at.pos, s.told.upTo = at, pos, at
	}
	s.mu.Unlock()
	if start {
		s.start()
	}
}

// evict cuts the subscription if it is over its limits and its socket takes
// nothing: one that takes bytes waits for its pump, not for its client.
func (s *Subscription) evict() {
	s.mu.Lock()
	slow := s.asked.err == nil && s.pending.over(s.fan.cfg.Limits)
	s.mu.Unlock()
	if slow && (s.direct == nil || !s.direct.Takes()) {
		s.Cut(ErrSlow)
	}
}
