package publisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
	"sluice/publisher/internal/retry"
)

// phase is what the sender does with its backlog.
type phase int

const (
	// flowing: send everything at once.
	flowing phase = iota
	// draining: an attempt failed. Send nothing more until every other one on
	// the way has ended, or a resend could overtake what is still being lost.
	draining
	// waiting: nothing is on the way; let time pass before the next attempt.
	waiting
	// probing: the first event is on the way alone. Its acknowledgement shows
	// that the stream takes events again, so that the others may follow.
	probing
)

// sender is the one goroutine that sends a publisher's events, which keeps
// them in order.
type sender struct {
	p       *Publisher
	phase   phase
	orders  uint64
	backlog []*item             // to send, in order
	flight  map[*nats.Msg]*item // on the way
	failed  []*item             // of the attempts that ended, to send again
	backoff *backoff.ExponentialBackOff
	retry   *time.Timer
	// stalled is when the log last acknowledged an event after the first
	// failure; zero while flowing.
	stalled time.Time
	cause   error  // of the last failed attempt
	said    string // the cause that was logged last
	// reconnects is the connection's count when the attempts on the way began.
	reconnects uint64
}

func newSender(p *Publisher) *sender {
	timer := time.NewTimer(0)
	timer.Stop()
	return &sender{p: p, flight: map[*nats.Msg]*item{}, backoff: retry.Forever(), retry: timer}
}

// run sends until the publisher's life ends, and then fails what is pending.
func (s *sender) run() {
	defer s.retry.Stop()
	for {
		select {
		case <-s.p.life.Done():
			s.abandon()
			return
		case <-s.p.wake:
			s.collect()
		case <-s.retry.C:
			s.probe()
		}
		s.advance()
	}
}

// collect empties the mailbox.
func (s *sender) collect() {
	s.p.mu.Lock()
	queue, outcomes := s.p.queue, s.p.outcomes
	s.p.queue, s.p.outcomes = nil, nil
	s.p.mu.Unlock()
	for _, it := range queue {
		s.orders++
		it.order = s.orders
	}
	if len(s.backlog) == 0 {
		s.backlog = queue // as nearly always: no copy
	} else {
		s.backlog = append(s.backlog, queue...)
	}
	for _, o := range outcomes {
		it, ours := s.flight[o.msg]
		if !ours {
			continue // its attempt was already taken as failed
		}
		delete(s.flight, o.msg)
		if o.err != nil {
			s.attemptFailed(it, o.err)
		} else {
			s.acknowledged(it, o.ack)
		}
	}
}

// advance sends what may be sent now.
func (s *sender) advance() {
	for s.phase == flowing && len(s.backlog) > 0 {
		now := s.p.opts.Conn.Stats().Reconnects
		if now != s.reconnects && len(s.flight) > 0 {
			// What is on the way went to a connection that is gone; nats.go
			// will say so, but only after this.
			s.halt(nats.ErrDisconnected)
			break
		}
		s.reconnects = now
		s.send(s.next())
	}
	if s.phase == draining && len(s.flight) == 0 {
		s.settleDown()
	}
}

// settleDown takes the failed events back into the backlog, in order, and
// plans the next attempt, or gives up.
func (s *sender) settleDown() {
	s.backlog = append(s.failed, s.backlog...)
	s.failed = nil
	inOrder(s.backlog)
	if len(s.backlog) == 0 {
		s.flow()
		return
	}
	if s.p.opts.Conn.IsClosed() {
		s.p.end(fmt.Errorf("%w: %w", ErrGaveUp, nats.ErrConnectionClosed))
		return
	}
	left := s.p.opts.Timeout - time.Since(s.stalled)
	if left <= 0 {
		s.p.end(fmt.Errorf("%w: the log acknowledged nothing for %s (PUBLISH_TIMEOUT %s), the last error: %w",
			ErrGaveUp, time.Since(s.stalled).Round(time.Millisecond), s.p.opts.Timeout, s.cause))
		return
	}
	wait := min(s.backoff.NextBackOff(), left)
	level := slog.LevelDebug
	if said := s.cause.Error(); said != s.said {
		s.said, level = said, slog.LevelWarn // once per stall and cause
	}
	s.p.opts.Log.Log(context.Background(), level, "events wait to be published again", "pending", len(s.backlog),
		"wait", wait.Round(time.Millisecond), "PUBLISH_TIMEOUT", s.p.opts.Timeout, "err", s.cause)
	s.phase = waiting
	s.retry.Reset(wait)
}

// probe sends the first event alone.
func (s *sender) probe() {
	s.phase = probing
	s.reconnects = s.p.opts.Conn.Stats().Reconnects
	s.send(s.next())
}

func (s *sender) next() *item {
	it := s.backlog[0]
	s.backlog[0] = nil
	s.backlog = s.backlog[1:]
	return it
}

// send starts one attempt. The result arrives in the mailbox.
func (s *sender) send(it *item) {
	it.attempts++
	m := nats.NewMsg(event.Subject(it.event.Topic))
	m.Data = it.event.Data
	m.Header[jetstream.MsgIDHeader] = []string{it.event.MsgID}
	m.Header[jetstream.ExpectedStreamHeader] = []string{s.p.opts.Stream}
	if t := it.event.Type; t != "" && t != event.TypeData {
		m.Header[event.HeaderType] = []string{t}
	}
	s.flight[m] = it
	// nats.go's own retries are off: they would overtake later events.
	_, err := s.p.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0))
	if err != nil {
		if errors.Is(err, nats.ErrReconnectBufExceeded) {
			err = nats.ErrDisconnected // of what the buffer of size 0 is a sign
		}
		delete(s.flight, m)
		s.attemptFailed(it, err)
	}
}

// attemptFailed decides whether an event whose attempt ended with err is sent
// again, or has failed.
func (s *sender) attemptFailed(it *item, err error) {
	again := passes(err)
	if !inProcess(err) {
		it.conflict = time.Time{}
	} else if it.conflict.IsZero() {
		it.conflict = time.Now()
	} else if time.Since(it.conflict) > s.p.opts.ConflictTimeout {
		it.conflict = time.Time{}
		if again = it.made; again {
			it.event.MsgID = s.p.makeID()
		} else { // another id would lose what the caller's is for
			err = fmt.Errorf("the stream has not stored the event and keeps its message id: publish it again after the duplicate window: %w", err)
		}
	}
	if again {
		s.failed = append(s.failed, it)
		s.halt(err)
		return
	}
	s.p.settle(it, Result{Err: err})
	s.p.logFailure("the log refused an event", "topic", it.event.Topic, "msg_id", it.event.MsgID, "err", err)
	s.answered()
}

func (s *sender) acknowledged(it *item, ack *jetstream.PubAck) {
	s.p.settle(it, Result{
		ID:        event.ID{Epoch: s.p.epoch, Seq: ack.Sequence},
		Duplicate: ack.Duplicate && (it.attempts == 1 || ack.Sequence <= s.p.startSeq),
	})
	s.answered()
}

// answered notes that the stream's leader spoke about an event.
func (s *sender) answered() {
	switch s.phase {
	case probing:
		s.flow()
	case draining:
		s.stalled = time.Now()
	}
}

// halt stops the flow because of err.
func (s *sender) halt(err error) {
	s.cause = err
	if s.stalled.IsZero() {
		s.stalled = time.Now()
	}
	s.phase = draining
}

func (s *sender) flow() {
	if s.said != "" {
		s.p.opts.Log.Info("the log acknowledges events again")
	}
	s.phase, s.stalled, s.said = flowing, time.Time{}, ""
	s.backoff.Reset()
}

// abandon fails every pending event with what ended the publisher.
func (s *sender) abandon() {
	s.p.mu.Lock()
	s.p.closed = true
	s.p.mu.Unlock()
	s.collect()
	pending := slices.AppendSeq(slices.Concat(s.failed, s.backlog), maps.Values(s.flight))
	inOrder(pending)
	err := fmt.Errorf("%w: %w", ErrUnacknowledged, context.Cause(s.p.life))
	for _, it := range pending {
		s.p.settle(it, Result{Err: err})
	}
	if len(pending) > 0 {
		s.p.opts.Log.Error("events given up", "count", len(pending), "err", err)
	}
}

// inOrder sorts items by their Publish calls.
func inOrder(items []*item) {
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.order, b.order) })
}

// settle ends an event's wait: it reports and counts the result and frees the
// event's place.
func (p *Publisher) settle(it *item, r Result) {
	if it.event.OnResult != nil {
		r.MsgID = it.event.MsgID
		it.event.OnResult(r)
	}
	p.mu.Lock()
	p.ledger.settle(r)
	p.mu.Unlock()
	<-p.slots
}
