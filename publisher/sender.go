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
	// flowing: send each event as soon as it comes.
	flowing phase = iota
	// draining: an attempt has failed. Send nothing until all other attempts
	// have ended: what is sent now could be stored before an event whose
	// attempt is yet to fail.
	draining
	// waiting: no attempt is under way; let time pass before the next one.
	waiting
	// probing: only the first event is under way. Its acknowledgement shows
	// that the stream takes events again, and the others follow.
	probing
)

// sender is the one goroutine that sends a publisher's events, which keeps
// them in order.
type sender struct {
	p       *Publisher
	phase   phase
	taken   uint64              // events so far
	backlog []*item             // to send, in order
	flight  map[*nats.Msg]*item // sent, the outcome is not known
	failed  []*item             // to send again once the flight is empty
	backoff *backoff.ExponentialBackOff
	retry   *time.Timer
	// stalled is the time of the first failed attempt, or of the last progress
	// since then; zero while flowing.
	stalled time.Time
	cause   error  // of the last failed attempt
	warned  string // the last cause that was logged
	// reconnects is the connection's count when the attempts under way began.
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
		case <-s.p.box.wake:
			s.collect()
		case <-s.retry.C:
			s.probe()
		}
		s.advance()
	}
}

// collect empties the mailbox.
func (s *sender) collect() {
	items, outcomes := s.p.box.take()
	for _, it := range items {
		s.taken++
		it.order = s.taken
	}
	if len(s.backlog) == 0 {
		s.backlog = items // as nearly always: no copy
	} else {
		s.backlog = append(s.backlog, items...)
	}
	for _, o := range outcomes {
		it, ours := s.flight[o.msg]
		if !ours {
			continue // the attempt had failed before nats.go said so
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
			// What is under way was sent on a connection that is gone; nats.go
			// will report it, but only after this.
			s.drain(nats.ErrDisconnected)
			break
		}
		s.reconnects = now
		s.send(s.next())
	}
	if s.phase == draining && len(s.flight) == 0 {
		s.planRetry()
	}
}

// planRetry takes the failed events back into the backlog, in order, and sets
// the time of the next attempt, or gives up.
func (s *sender) planRetry() {
	s.backlog = append(s.failed, s.backlog...)
	s.failed = nil
	inOrder(s.backlog)
	if len(s.backlog) == 0 {
		s.resume()
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
	if text := s.cause.Error(); text != s.warned {
		s.warned, level = text, slog.LevelWarn // once per outage and cause
	}
	s.p.opts.Logger.Log(context.Background(), level, "events wait to be published again", "pending", len(s.backlog),
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

// send starts one attempt. Its outcome arrives in the mailbox.
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
			err = nats.ErrDisconnected // there is no buffer: see Options.Conn
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
			it.event.MsgID = s.p.ids.next()
		} else { // another id would lose what the caller's is for
			err = fmt.Errorf("the stream has not stored the event and keeps its message id: publish it again after the duplicate window: %w", err)
		}
	}
	if again {
		s.failed = append(s.failed, it)
		s.drain(err)
		return
	}
	s.p.settle(it, Result{Err: err})
	s.p.logFailure("the log refused an event", "topic", it.event.Topic, "msg_id", it.event.MsgID, "err", err)
	s.progress()
}

func (s *sender) acknowledged(it *item, ack *jetstream.PubAck) {
	s.p.settle(it, Result{
		ID:        event.ID{Epoch: s.p.epoch, Seq: ack.Sequence},
		Duplicate: ack.Duplicate && (it.attempts == 1 || ack.Sequence <= s.p.startSeq),
	})
	s.progress()
}

// progress notes that the stream has acknowledged or refused an event.
func (s *sender) progress() {
	switch s.phase {
	case probing:
		s.resume()
	case draining:
		s.stalled = time.Now()
	}
}

// drain stops the sending because of err.
func (s *sender) drain(err error) {
	s.cause = err
	if s.stalled.IsZero() {
		s.stalled = time.Now()
	}
	s.phase = draining
}

// resume sends everything again.
func (s *sender) resume() {
	if s.warned != "" {
		s.p.opts.Logger.Info("the log acknowledges events again")
	}
	s.phase, s.stalled, s.warned = flowing, time.Time{}, ""
	s.backoff.Reset()
}

// abandon fails every pending event with what ended the publisher.
func (s *sender) abandon() {
	s.p.box.close()
	s.collect()
	pending := slices.AppendSeq(slices.Concat(s.failed, s.backlog), maps.Values(s.flight))
	inOrder(pending)
	err := fmt.Errorf("%w: %w", ErrUnacknowledged, context.Cause(s.p.life))
	for _, it := range pending {
		s.p.settle(it, Result{Err: err})
	}
	if len(pending) > 0 {
		s.p.opts.Logger.Error("events given up", "count", len(pending), "err", err)
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
	p.ledger.settle(r)
	<-p.slots
}
