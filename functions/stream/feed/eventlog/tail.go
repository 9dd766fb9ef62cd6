package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// What a push consumer's idle heartbeat carries: every event up to that stream
// sequence that the filter matches has been sent, and that many were sent.
const (
	headerLastStream   = "Nats-Last-Stream"
	headerLastConsumer = "Nats-Last-Consumer"
	headerStalled      = "Nats-Consumer-Stalled"
)

const (
	// tailQueue is how many messages may wait in a Tail; the server's flow
	// control bounds their bytes (32 MiB at most).
	tailQueue = 1 << 17
	// scanBeat is the heartbeat of a consumer that only proves how far it has
	// scanned, and so about how long that takes.
	scanBeat  = 100 * time.Millisecond
	scanQueue = 64
)

// Tail is a push consumer with heartbeats and flow control: it follows the
// log's end.
type Tail struct {
	log  *Log
	sub  *nats.Subscription
	msgs chan *nats.Msg
	deliveries
}

// Arrival is a message as it arrived, for Take.
type Arrival = *nats.Msg

// Delivery is what a Tail gives: an event, or how far the consumer has scanned.
type Delivery struct {
	// Message is the event; Topic is "" when its subject is outside the topic
	// grammar.
	wire.Message
	IsEvent bool
	// Scanned is the position up to which no event of the subjects is left;
	// the zero ID when the consumer does not say.
	Scanned event.ID
}

// Follow makes a Tail of the events after a position. Every beat the consumer
// gives a sign of life while there are none. at is the server on which it must
// be, "" for any.
func (l *Log) Follow(ctx context.Context, purpose string, subjects []string, after event.ID, beat time.Duration, at string) (*Tail, error) {
	return l.push(ctx, purpose, subjects, after, beat, tailQueue, at)
}

func (l *Log) push(ctx context.Context, purpose string, subjects []string, after event.ID, beat time.Duration, queue int, at string) (t *Tail, err error) {
	err = l.create(ctx, at, func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
		if t != nil {
			_ = t.sub.Unsubscribe() // of one on another server
		}
		t = &Tail{log: l, msgs: make(chan *nats.Msg, queue)}
		// An inbox of its own, because a consumer whose answer was lost may send.
		inbox := l.conn.NewInbox()
		if t.sub, err = l.conn.ChanSubscribe(inbox, t.msgs); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		cfg := l.config(purpose, subjects, after.Seq)
		cfg.DeliverSubject, cfg.IdleHeartbeat, cfg.FlowControl = inbox, beat, true
		made, err := l.js.CreatePushConsumer(ctx, l.stream, cfg)
		if err != nil {
			return nil, fmt.Errorf("create the consumer %s: %w", cfg.Name, err)
		}
		info := made.CachedInfo()
		t.deliveries = deliveries{consumer: cfg.Name, server: serverOf(info), epoch: after.Epoch}
		return info, nil
	})
	if err != nil {
		if t != nil && t.sub != nil {
			_ = t.sub.Unsubscribe()
		}
		return nil, err
	}
	return t, nil
}

// C is where messages arrive, each for Take.
func (t *Tail) C() <-chan Arrival { return t.msgs }

// Waiting is how many messages have arrived and were not received from C.
func (t *Tail) Waiting() int { return len(t.msgs) }

// Take reads a message of C, in the order in which they came. It answers the
// consumer's requests for flow control. An error is the end of the Tail's use.
func (t *Tail) Take(m Arrival) (Delivery, error) {
	if isEvent(m) {
		e, err := t.take(m)
		return Delivery{Message: e, IsEvent: err == nil}, err
	}
	s := t.answer(m)
	if !s.isBeat || s.scanned == 0 || s.sent != t.number {
		return Delivery{}, nil // what it sent has not all come, or it does not say
	}
	return Delivery{Scanned: event.ID{Epoch: t.epoch, Seq: s.scanned}}, nil
}

// status is what a consumer sends that is no event.
type status struct {
	isBeat  bool   // an idle heartbeat, not a request for flow control
	sent    uint64 // how many events it has sent
	scanned uint64 // and up to which sequence of the stream; 0 if it does not say
}

// answer reads m, which is no event, and answers what it asks for.
func (t *Tail) answer(m *nats.Msg) (s status) {
	s.isBeat = m.Reply == ""
	if !s.isBeat {
		_ = m.Respond(nil)
	}
	if stalled := m.Header.Get(headerStalled); stalled != "" {
		_ = t.log.conn.Publish(stalled, nil)
	}
	s.sent, _ = strconv.ParseUint(m.Header.Get(headerLastConsumer), 10, 64)
	s.scanned, _ = strconv.ParseUint(m.Header.Get(headerLastStream), 10, 64)
	return s
}

// Close ends the subscription and deletes the consumer.
func (t *Tail) Close() {
	_ = t.sub.Unsubscribe()
	t.log.deleteConsumer(t.consumer)
}

// Scanned proves how far nothing is left: the position up to which the
// consumer's own server finds no event of the subjects after a position. ok is
// false when there is one. It takes about scanBeat. at is the server on which it
// must be looked, "" for any; server is where it was.
func (l *Log) Scanned(ctx context.Context, subjects []string, after event.ID, at string) (pos event.ID, server string, ok bool, err error) {
	t, err := l.push(ctx, "scan", subjects, after, scanBeat, scanQueue, at)
	if err != nil {
		return after, "", false, err
	}
	defer t.Close()
	timeout := time.NewTimer(patience) // it may have to look through the whole log
	defer timeout.Stop()
	for {
		select {
		case <-ctx.Done():
			return after, "", false, context.Cause(ctx)
		case <-timeout.C:
			return after, "", false, errors.New("no heartbeat from the consumer")
		case m := <-t.msgs:
			if isEvent(m) {
				return after, "", false, nil
			}
			if s := t.answer(m); s.isBeat && s.sent == 0 {
				return event.ID{Epoch: after.Epoch, Seq: max(s.scanned, after.Seq)}, t.server, true, nil
			}
		}
	}
}
