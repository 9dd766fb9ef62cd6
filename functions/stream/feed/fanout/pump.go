package fanout

import (
	"sync"
	"time"

	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// writeBytes is about how much one catching-up write carries: so much a client
// that does not take it keeps in memory.
const writeBytes = 16 << 10

// run writes until nothing is left, and then the subscription is live (nil), or
// until it is over.
func (s *Subscription) run() error {
	for {
		var err error
		switch job := s.next(); job.todo {
		case toWait:
			return nil
		case toEnd:
			return job.err
		case toSayBye:
			err = s.sayBye(job.bye)
		case toWriteRest:
			rest := s.rest
			s.rest = nil
			err = s.write(rest)
		case toCatchUp:
			err = s.catchUp()
		case toReadRing:
			err = s.readRing(job.upTo)
		case toBeat:
			s.at.pos = job.pos
			err = s.write(job.beat)
		}
		if err != nil {
			return s.cause(err)
		}
	}
}

// job is what a pump has to do next.
type job struct {
	todo todo
	err  error       // toEnd
	bye  wire.Reason // toSayBye
	upTo uint64      // toReadRing
	beat []byte      // toBeat
	pos  event.ID    // toBeat
}

type todo int

const (
	toWait todo = iota
	toEnd
	toWriteRest
	toSayBye
	toCatchUp
	toReadRing
	toBeat
)

// next is what is to be done. When nothing is, the subscription is live: the
// shard may serve from then on, and the pump must not look at it any more.
func (s *Subscription) next() job {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.asked.err != nil:
		return job{todo: toEnd, err: s.asked.err}
	case s.rest != nil:
		return job{todo: toWriteRest}
	case s.asked.bye != "":
		s.life.on(sentAway)
		return job{todo: toSayBye, bye: s.asked.bye}
	case s.life.on(opened):
		return job{todo: toCatchUp}
	}
	if s.at.idx >= s.told.joinedAt && s.life.on(caughtUp) {
		s.pending.hold()
	}
	upTo := s.told.upTo
	if s.told.beat != nil {
		// All that the shard told of before the heartbeat goes first.
		if upTo = min(upTo, s.told.beatAt); s.at.idx >= upTo {
			beat := s.told.beat
			s.told.beat = nil
			if s.at.idx <= s.told.beatAt {
				s.at.idx = s.told.beatAt
				return job{todo: toBeat, beat: beat, pos: s.told.beatPos}
			}
			upTo = s.told.upTo
		}
	}
	if s.at.idx < upTo {
		return job{todo: toReadRing, upTo: upTo}
	}
	s.pending.clear()
	s.life.on(taken)
	return job{todo: toWait}
}

// readRing writes the next frames of the ring below an index. However many
// clients catch up at once, only a few of them keep a processor busy: the
// shards, and so the clients that are live, come first.
func (s *Subscription) readRing(upTo uint64) error {
	s.fan.readers <- struct{}{}
	buf := framePool.Get().(*[]wire.Frame)
	defer framePool.Put(buf)
	began := time.Now()
	frames, next, pos, ok := s.fan.ring.Read((*buf)[:0], s.at.idx, upTo, writeBytes, s.view.topics)
	if !ok {
		<-s.fan.readers
		s.move(overtaken)
		return s.catchUp()
	}
	wanted, looked, took := uint64(len(frames)), next-s.at.idx, time.Since(began)
	var err error
	var rest []byte
	s.wrote(frames) // before it is rendered: what is pending counts as the ring does
	if len(frames) > 0 {
		rest, err = s.tryWrite(render(s.view.wire, frames))
	}
	clear(frames)
	*buf = frames
	<-s.fan.readers
	if err == nil && len(rest) > 0 {
		err = s.waitWrite(rest)
	}
	s.at.idx, s.at.pos = next, pos
	if err == nil && looked == ring.ScanFrames && wanted < looked {
		err = s.pay(took*time.Duration(looked-wanted)/ring.ScanFrames, wanted > 0)
	}
	return err
}

// pay takes the pause that looking at frames in vain costs. A scan's last go,
// which is no whole one, is free: so a client that has only just missed something
// does not wait for those who look through the whole ring.
func (s *Subscription) pay(vain time.Duration, written bool) error {
	ctx, cancel := s.waiting()
	err := s.fan.cfg.Pay(ctx, vain)
	cancel()
	if now := time.Now(); written {
		s.pump.quiet = now.UnixNano()
	} else if err == nil && now.UnixNano()-s.pump.quiet > int64(warmEvery) {
		s.pump.quiet = now.UnixNano()
		return s.write(s.view.wire.KeepAlive())
	}
	return nil // an end of ctx is for next
}

var framePool = sync.Pool{New: func() any { return new([]wire.Frame) }}

func (s *Subscription) move(on signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.on(on)
}

// wrote counts written frames, and takes them off what is pending.
func (s *Subscription) wrote(frames []wire.Frame) {
	s.at.sent += uint64(len(frames))
	s.fan.cfg.Metrics.Sent.Add(float64(len(frames)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range frames {
		s.pending.take(frames[i].Index, len(frames[i].Block))
	}
}

// write writes p, trying the socket first where that is possible.
func (s *Subscription) write(p []byte) error {
	rest, err := s.tryWrite(p)
	if err != nil || len(rest) == 0 {
		return err
	}
	return s.waitWrite(rest)
}

// tryWrite writes what the socket takes at once, and returns the rest: all of
// p where the socket cannot be tried.
func (s *Subscription) tryWrite(p []byte) (rest []byte, err error) {
	if s.direct == nil {
		return p, nil
	}
	n, err := s.direct.TryWrite(p)
	if err == nil && n < len(p) {
		s.mu.Lock()
		s.pending.refuse(s.told.upTo)
		s.mu.Unlock()
	}
	return p[n:], err
}

// waitWrite writes p and waits for the client to take it.
func (s *Subscription) waitWrite(p []byte) error {
	if s.direct == nil {
		s.pump.writing.Store(time.Now().UnixNano())
		defer s.pump.writing.Store(0)
	}
	return s.out.Write(p)
}
