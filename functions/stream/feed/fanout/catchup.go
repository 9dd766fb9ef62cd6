package fanout

import (
	"context"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const (
	// reachTimeout is how long a client may be ahead of the feed before the
	// log is asked whether it ends before the client's position.
	reachTimeout = 5 * time.Second
	// warmEvery is how often a client that waits gets a sign of life.
	warmEvery = 10 * time.Second
)

// Replay is a client's way through the part of the log that the ring no longer
// holds. It belongs to one goroutine, which closes it.
type Replay interface {
	// Next is what follows a position. It may block, not for ever; an error is
	// the end of ctx.
	Next(ctx context.Context, after event.ID) (wire.Chunk, error)
	Close()
}

// Budget is how much of the log may be read for a client. It must not block.
type Budget interface {
	Left() bool  // whether anything is
	Spend(n int) // takes n events from it, which may be more than is left
}

// catchUp brings the subscription to where the ring goes on from its position,
// through the log where need be, and makes it a member of its shard. It returns
// nil also when the subscription is to end: the pump looks for that.
func (s *Subscription) catchUp() error {
	idx, ok, err := s.toRing()
	if ok {
		s.goOnAt(idx)
		s.joinShard()
	}
	return err
}

// toRing writes what the ring no longer holds. ok is false when the
// subscription is to end; else idx is where the ring goes on.
func (s *Subscription) toRing() (idx uint64, ok bool, err error) {
	ctx, cancel := s.waiting()
	defer cancel()
	replay := s.fan.cfg.Replay(s.view.topics)
	defer replay.Close()
	for ctx.Err() == nil {
		if _, ok := s.fan.ring.Locate(s.at.pos); !ok {
			if err := s.readLog(ctx, replay); err != nil {
				return 0, false, err
			}
			continue
		}
		if err := s.waitForFeed(ctx); err != nil {
			return 0, false, err
		}
		if idx, ok := s.fan.ring.Locate(s.at.pos); ok && ctx.Err() == nil {
			return idx, true, nil
		}
	}
	return 0, false, nil
}

// readLog writes the replay's next chunk, as long as the client's budget lasts. It
// writes nothing when ctx has ended.
func (s *Subscription) readLog(ctx context.Context, replay Replay) error {
	budget := s.pump.budget
	if budget != nil && !budget.Left() {
		return s.skip()
	}
	c, err := replay.Next(ctx, s.at.pos)
	if err != nil {
		return nil // the end of ctx
	}
	if budget != nil {
		budget.Spend(max(c.Read, 1)) // nothing costs a question too
	}
	return s.writeChunk(c)
}

// skip goes on at the oldest event in memory, after a gap.
func (s *Subscription) skip() error {
	gap := wire.NewGap(s.fan.cfg.Wire, wire.ReasonLimited, s.at.pos, s.fan.ring.Floor())
	s.fan.cfg.Metrics.Gap(wire.ReasonLimited)
	return s.writeFrames([]wire.Frame{gap})
}

// goOnAt goes on at a ring index; what the shard has told of by now is still
// catching up. A heartbeat of before may say less than what has been read of the
// log meanwhile.
func (s *Subscription) goOnAt(idx uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at.idx = idx
	s.told.joinedAt, s.told.beat = s.told.upTo, nil
	s.pending.suspend()
}

// waitForFeed waits until the feed has come to the subscription's position: a
// replay may have read on, and a cursor may come from an instance that is ahead.
func (s *Subscription) waitForFeed(ctx context.Context) error {
	warm, check := time.NewTicker(warmEvery), time.NewTicker(reachTimeout)
	defer warm.Stop()
	defer check.Stop()
	for come := false; !come && ctx.Err() == nil; {
		reached, forget := s.fan.ring.Reach(s.at.pos)
		var err error
		select {
		case <-reached:
			come = true
		case <-ctx.Done():
		case <-check.C:
			err = s.goBack(ctx)
		case <-warm.C:
			err = s.write(s.view.wire.KeepAlive())
		}
		forget()
		if err != nil {
			return err
		}
	}
	return nil
}

// goBack goes on at the feed's position, after a gap, if the log ends before
// the subscription's.
func (s *Subscription) goBack(ctx context.Context) error {
	if !s.fan.cfg.EndsBefore(ctx, s.at.pos) {
		return nil
	}
	gap := wire.NewGap(s.fan.cfg.Wire, wire.ReasonAhead, s.at.pos, s.fan.ring.Position())
	s.fan.cfg.Metrics.Gap(wire.ReasonAhead)
	return s.writeFrames([]wire.Frame{gap})
}

// writeChunk writes a replay's chunk; then the position is at its end.
func (s *Subscription) writeChunk(c wire.Chunk) error {
	if c.Waited {
		return s.write(s.view.wire.KeepAlive())
	}
	for frames := c.Frames; len(frames) > 0; {
		n := writable(frames)
		if err := s.writeFrames(frames[:n]); err != nil {
			return err
		}
		s.wrote(frames[:n])
		frames = frames[n:]
	}
	s.at.pos = c.UpTo
	return nil
}

func (s *Subscription) writeFrames(frames []wire.Frame) error {
	if err := s.write(render(s.view.wire, frames)); err != nil {
		return err
	}
	s.at.pos = frames[len(frames)-1].ID
	return nil
}

// writable is how many frames make one write.
func writable(frames []wire.Frame) int {
	bytes := 0
	for i := range frames {
		if bytes += len(frames[i].Block); bytes > writeBytes && i > 0 {
			return i
		}
	}
	return len(frames)
}

// joinShard makes the subscription a member of its shard, and waits until the shard
// has come to its place in the ring: what the shard delivers before that has
// been written already.
func (s *Subscription) joinShard() {
	s.mu.Lock()
	if s.asked.err != nil {
		s.mu.Unlock()
		return
	}
	joined := make(chan struct{})
	s.pump.joined = joined
	s.mu.Unlock()
	s.shard.post(join, s)
	<-joined
}

// answerJoin lets joinShard go on: the shard has answered, or will not. The lock is
// the caller's.
func (s *Subscription) answerJoin() {
	if s.pump.joined != nil {
		close(s.pump.joined)
		s.pump.joined = nil
	}
}
