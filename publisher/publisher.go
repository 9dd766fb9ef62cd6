package publisher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// Publisher publishes events to one stream. See the package for its promise.
// All methods are safe for concurrent use.
type Publisher struct {
	opts  Options
	js    jetstream.JetStream
	epoch int64
	// startSeq was the stream's last sequence at the start: a resend that is
	// acknowledged as a duplicate was stored by this run only if above it.
	startSeq uint64

	ids idMaker

	// life ends with the publisher; its cause says why.
	life context.Context
	end  context.CancelCauseFunc
	wg   sync.WaitGroup

	// slots holds a token for every event without a result.
	slots chan struct{}
	box   *mailbox
	// ledger counts the events; it has a lock of its own.
	ledger ledger

	// records ends when NATS refuses this user the producer's record.
	records    context.Context
	endRecords context.CancelCauseFunc

	failuresLogged atomic.Int64
}

// idMaker makes message ids that no other publisher makes.
type idMaker struct {
	prefix string
	last   atomic.Uint64
}

func (m *idMaker) next() string { return m.prefix + strconv.FormatUint(m.last.Add(1), 36) }

// New looks the stream up, or creates it, and starts a publisher. It waits for
// JetStream up to Options.Timeout or until ctx ends, which it does not keep.
func New(ctx context.Context, opts Options) (*Publisher, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	p := &Publisher{
		opts:  opts,
		ids:   idMaker{prefix: uuid.NewString() + "-"},
		slots: make(chan struct{}, opts.MaxPending),
		box:   newMailbox(),
	}
	p.life, p.end = context.WithCancelCause(context.Background())
	p.records, p.endRecords = context.WithCancelCause(context.Background())
	js, err := event.JetStream(opts.Conn, opts.APIPrefix,
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
			p.box.report(outcome{msg: m, ack: ack})
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			p.box.report(outcome{msg: m, err: err})
		}),
		jetstream.WithPublishAsyncTimeout(opts.AckTimeout),
		// The bound is ours: at its own nats.go would block the sender.
		jetstream.WithPublishAsyncMaxPending(2*opts.MaxPending))
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	p.js = js
	p.watchErrors()
	if err := p.lookUp(ctx); err != nil {
		p.end(err)
		return nil, err
	}
	p.wg.Go(newSender(p).run)
	return p, nil
}

// watchErrors listens to what NATS says about the connection as a whole: a
// refused publish gets no answer of its own.
func (p *Publisher) watchErrors() {
	next := p.opts.Conn.ErrorHandler()
	p.opts.Conn.SetErrorHandler(func(c *nats.Conn, sub *nats.Subscription, err error) {
		if refusesRecord(err) {
			p.endRecords(err)
		}
		if refused := refusal(err); refused != nil {
			p.end(refused)
		}
		if next != nil {
			next(c, sub, err)
		}
	})
}

// Publish takes one event. It blocks while MaxPending events are not
// acknowledged and returns before this one is: Flush waits for that, OnResult
// is told, and Summary counts. After an error the event counts as failed; one that wraps
// ErrInvalid concerns this event alone, after any other but the cause of ctx
// the publisher has ended.
func (p *Publisher) Publish(ctx context.Context, e Event) error {
	if err := e.Check(p.opts.MaxEventBytes); err != nil {
		p.Refuse(err)
		return err
	}
	it := &item{event: e}
	if e.MsgID == "" {
		it.made, it.event.MsgID = true, p.ids.next()
	}
	err := p.enqueue(ctx, it)
	if err != nil {
		p.ledger.refuse(err)
	}
	return err
}

func (p *Publisher) enqueue(ctx context.Context, it *item) error {
	select {
	case p.slots <- struct{}{}:
	case <-p.life.Done():
		return context.Cause(p.life)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.ledger.begin()
	if !p.box.put(it) {
		p.ledger.end()
		<-p.slots
		return context.Cause(p.life)
	}
	return nil
}

// Refuse logs an event that is none, such as a line that is not JSON, and
// counts it as failed because of err.
func (p *Publisher) Refuse(err error) {
	p.ledger.refuse(err)
	p.logFailure("event refused", "err", err)
}

// Flush waits until no event is pending. Its error is the cause of ctx, or wraps
// ErrFailed and the first failure when an event was refused or given up.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case <-p.ledger.whenIdle():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.ledger.err()
}

// Summary is the account so far. Events that are pending are not in it.
func (p *Publisher) Summary() Summary {
	return p.ledger.summary(p.epoch)
}

// Close ends the publisher and waits for its goroutine. Events that are
// pending count as failed with ErrUnacknowledged: Flush first.
func (p *Publisher) Close() {
	p.end(ErrClosed)
	p.endRecords(ErrClosed)
	p.wg.Wait()
	p.js.CleanupPublisher()
}

// maxFailuresLogged bounds what a run writes about single events.
const maxFailuresLogged = 20

func (p *Publisher) logFailure(msg string, args ...any) {
	switch n := p.failuresLogged.Add(1); {
	case n < maxFailuresLogged:
		p.opts.Logger.Error(msg, args...)
	case n == maxFailuresLogged:
		p.opts.Logger.Error(msg, append(args, "note", "later failures are counted and not logged")...)
	}
}

// asCause replaces err by what ended the publisher, if something did.
func (p *Publisher) asCause(err error) error {
	if cause := context.Cause(p.life); cause != nil && !errors.Is(cause, ErrClosed) {
		return cause
	}
	return err
}
