package feed

import (
	"sync"
	"time"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// writeBytes is about how much one catching-up write carries: so much a client
// that does not take it keeps in memory.
const writeBytes = 16 << 10

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
		if err := s.catchUp(); err != nil {
			return err
		}
		return s.join() // the log may have led past the shard
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
