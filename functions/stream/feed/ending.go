package feed

import (
	"context"
	"errors"

	"sluice/functions/stream/sse"
)

// Drain tells the client to come back, at the next block's end, and ends the
// response. It does not block.
func (s *Subscription) Drain(reason sse.Reason) {
	s.mu.Lock()
	if s.reason != "" {
		s.mu.Unlock()
		return
	}
	s.reason = reason
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.shard.post((*shard).rouse, s)
}

// Cut ends the subscription now; whatever waits for the client it will ask for
// again. It does not block.
func (s *Subscription) Cut(err error) { s.end(err) }

// end makes the subscription end with err, unless it ends already.
func (s *Subscription) end(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	s.settled()
	cancel, out, roused := s.cancel, s.out, s.roused
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if out != nil {
		out.Interrupt()
	}
	if roused != nil {
		select {
		case roused <- struct{}{}:
		default:
		}
	}
	s.shard.post((*shard).leave, s)
}

// because is why the subscription ends when a write failed with err: a cut
// interrupts the write. But when a write of net/http fails its request's context
// ends too, as if the client had gone: a stall is known by the write alone.
func (s *Subscription) because(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || errors.Is(err, ErrStalled) && errors.Is(s.err, ErrGone) {
		s.err = err
	}
	return s.err
}

// farewell writes the last block.
func (s *Subscription) farewell(reason sse.Reason) error {
	block := s.feed.cfg.Encoder.AppendDrain(nil, s.pos, sse.Drain{Reason: reason}, drainRetry())
	if err := s.write(s.enc.wrap(block)); err != nil {
		return s.because(err)
	}
	return ErrDrained
}

// finish closes the subscription. It is called once, by whoever serves.
func (s *Subscription) finish(err error) End {
	if !s.over.CompareAndSwap(false, true) {
		return End{}
	}
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	e := End{Err: s.err, LastID: s.pos, Sent: s.sent}
	e.Reason = endReason(e.Err, s.reason)
	s.mu.Unlock()
	s.shard.post((*shard).leave, s)
	if s.direct != nil {
		s.direct.Close(errors.Is(e.Err, ErrDrained))
	}
	s.feed.dismiss(s)
	s.feed.metrics.ends.WithLabelValues(e.Reason).Inc()
	if s.ended != nil {
		s.ended(e)
	}
	return e
}

// waiting is a context for what the pump waits for: it ends when the
// subscription does, or is to be drained.
func (s *Subscription) waiting() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.reason != "" {
		cancel()
	}
	s.cancel = cancel
	return ctx, func() {
		s.mu.Lock()
		s.cancel = nil
		s.mu.Unlock()
		cancel()
	}
}

// endReason is the word for why a connection ended, for logs and metrics.
// reason is that of its drain.
func endReason(err error, reason sse.Reason) string {
	switch {
	case errors.Is(err, ErrDrained):
		return string(reason)
	case errors.Is(err, ErrSlow):
		return "slow"
	case errors.Is(err, ErrStalled):
		return "stalled"
	case errors.Is(err, ErrClosed):
		return "closed"
	}
	return "gone"
}
