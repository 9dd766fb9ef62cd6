package feed

import (
	"time"

	"sluice/publisher/event"
)

// handful is what a shard hands on: events between two ring indexes.
type handful struct {
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
	err, idle := s.err, s.direct != nil && !s.busy.Load()
	s.mu.Unlock()
	if idle {
		s.finish(err)
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
	slow := s.overLimits()
	idle := !s.busy.Load()
	if idle {
		s.idx, s.pos = h.first, h.from
		s.busy.Store(true)
	}
	s.mu.Unlock()
	if slow {
		s.shard.suspect(s)
	}
	if idle {
		s.kick()
	}
}

// overLimits reports whether more is pending than may be; one event always
// may. The lock is the caller's.
func (s *Subscription) overLimits() bool {
	return s.msgs > s.feed.cfg.PendingMsgs || s.msgs > 1 && int64(s.bytes) > s.feed.cfg.PendingBytes
}

// judge cuts the subscription if it is over its limits and its socket takes
// nothing: one that takes bytes waits for its pump, not for its client.
func (s *Subscription) judge() {
	s.mu.Lock()
	slow := s.err == nil && s.overLimits()
	s.mu.Unlock()
	if slow && (s.direct == nil || !s.direct.Takes()) {
		s.end(ErrSlow)
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
	idle := s.err == nil && !s.busy.Load()
	if idle {
		s.idx, s.pos, s.target = at, pos, at
		s.busy.Store(true)
	}
	s.mu.Unlock()
	if idle {
		s.kick()
	}
}
