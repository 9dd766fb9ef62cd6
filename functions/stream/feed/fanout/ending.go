package fanout

import (
	"context"
	"errors"

	"sluice/functions/stream/feed/wire"
)

// Drain ends the client's response with a last block that says why, after the
// block that is being written. It does not block; the first call counts.
func (s *Subscription) Drain(why wire.Reason) {
	s.mu.Lock()
	if s.asked.bye != "" {
		s.mu.Unlock()
		return
	}
	s.asked.bye = why
	cancel := s.pump.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.shard.post(drain, s)
}

// Cut ends the subscription now; whatever waits for the client it will ask for
// again. It does not block; the first call counts.
func (s *Subscription) Cut(err error) {
	s.mu.Lock()
	if s.asked.err != nil {
		s.mu.Unlock()
		return
	}
	s.asked.err = err
	s.answerJoin()
	cancel, wake, out := s.pump.cancel, s.pump.wake, s.out
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if out != nil {
		out.Interrupt()
	}
	notify(wake)
	s.shard.post(leave, s)
}

// cause is why the subscription ends when a write failed with err: a cut
// interrupts the write. But when a write of net/http fails its request's context
// ends too, as if the client had gone: a stall is known by the write alone.
func (s *Subscription) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.err == nil || errors.Is(err, ErrStalled) && errors.Is(s.asked.err, ErrGone) {
		s.asked.err = err
	}
	return s.asked.err
}

// sayBye writes the last block.
func (s *Subscription) sayBye(why wire.Reason) error {
	if err := s.write(s.view.wire.Bye(s.at.pos, why, byeRetry())); err != nil {
		return err
	}
	return ErrDrained
}

// finish closes the subscription. It is called by whoever serves; only the
// first call does anything.
func (s *Subscription) finish(err error) End {
	s.mu.Lock()
	if !s.life.on(terminated) {
		s.mu.Unlock()
		return End{}
	}
	if s.asked.err == nil {
		s.asked.err = err
	}
	e := End{Err: s.asked.err, LastID: s.at.pos, Sent: s.at.sent}
	e.Reason = endReason(e.Err, s.asked.bye)
	s.mu.Unlock()
	s.shard.post(leave, s)
	if s.direct != nil {
		s.direct.Close(errors.Is(e.Err, ErrDrained))
	}
	s.fan.dismiss(s)
	s.fan.cfg.Metrics.Ends.WithLabelValues(e.Reason).Inc()
	if s.ended != nil {
		s.ended(e)
	}
	return e
}

// waiting is a context for what the pump waits for: it ends when the
// subscription does, or is to be sent away.
func (s *Subscription) waiting() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.err != nil || s.asked.bye != "" {
		cancel()
	}
	s.pump.cancel = cancel
	return ctx, func() {
		s.mu.Lock()
		s.pump.cancel = nil
		s.mu.Unlock()
		cancel()
	}
}

// endReason is the word for why a connection ended, for logs and metrics. bye
// is what its last block said.
func endReason(err error, bye wire.Reason) string {
	switch {
	case errors.Is(err, ErrDrained), errors.Is(err, ErrOverdue) && bye != "":
		return string(bye)
	case errors.Is(err, ErrSlow):
		return "slow"
	case errors.Is(err, ErrStalled):
		return "stalled"
	case errors.Is(err, ErrClosed):
		return "closed"
	}
	return "gone"
}
