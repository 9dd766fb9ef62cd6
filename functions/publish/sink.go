package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"sluice/publisher"
)

// mostPause is the longest before a publisher that has ended is replaced.
const mostPause = 30 * time.Second

// SinkConfig is what a Sink needs; all fields must be set.
type SinkConfig struct {
	// Connect makes a connection that nobody else uses (publisher.Options.Conn).
	Connect func() (*nats.Conn, error)
	// Options are the publisher's, without Conn.
	Options publisher.Options
	Logger  *slog.Logger
}

// Sink is the way into the log of all requests of a process: one publisher, which is
// replaced when it has ended.
type Sink struct {
	cfg    SinkConfig
	events chan publisher.Event
}

// NewSink makes a sink; Run has it work.
func NewSink(cfg SinkConfig) *Sink {
	return &Sink{cfg: cfg, events: make(chan publisher.Event)}
}

// Put hands an event over, whose OnResult is then called once, within
// Options.Timeout of the last acknowledgement. It blocks while too many events are
// not acknowledged; an error is the end of ctx, and then nothing was handed over.
func (s *Sink) Put(ctx context.Context, e publisher.Event) error {
	select {
	case s.events <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run publishes until ctx ends, over every failure. What was put by then has its
// result when it returns.
func (s *Sink) Run(ctx context.Context) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = mostPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.publish(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > 2*s.cfg.Options.Timeout {
			pauses.Reset() // it has worked for a while
		}
		wait := pauses.NextBackOff()
		s.cfg.Logger.Warn("events that come over HTTP cannot be published, trying again", "err", err, "wait", wait.Round(time.Millisecond))
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return nil
}

// publish is the life of one publisher.
func (s *Sink) publish(ctx context.Context) error {
	conn, err := s.cfg.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	opts := s.cfg.Options
	opts.Conn = conn
	p, err := publisher.New(ctx, opts)
	if err != nil {
		return err
	}
	src := &source{events: s.events}
	_, err = publisher.Run(ctx, p, src)
	p.Close()
	src.end(err)
	return err
}

// source gives a publisher what is put.
type source struct {
	events <-chan publisher.Event
	last   publisher.Event
	told   *bool // the result of last
}

// Next is publisher.Source.
func (s *source) Next(ctx context.Context) (publisher.Event, error) {
	select {
	case e := <-s.events:
		told, tell := new(bool), e.OnResult
		e.OnResult = func(r publisher.Result) { *told = true; tell(r) }
		s.last, s.told = e, told
		return e, nil
	case <-ctx.Done():
		return publisher.Event{}, ctx.Err()
	}
}

// end gives the last event a result if it was given to a publisher that had ended:
// all others have theirs when that is closed.
func (s *source) end(err error) {
	if s.told != nil && !*s.told {
		s.last.OnResult(publisher.Result{Err: fmt.Errorf("%w: %w", publisher.ErrUnacknowledged, errors.Join(publisher.ErrClosed, err))})
	}
}
