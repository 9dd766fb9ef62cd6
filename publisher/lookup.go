package publisher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
	"sluice/publisher/internal/retry"
)

// lookUpAttempt bounds one request for the stream; a request that is lost with
// its server is never answered.
const lookUpAttempt = 3 * time.Second

// headerBytes is the room for NATS headers beside a payload, in bytes.
const headerBytes = 1 << 10

// lookUp learns the stream's epoch and position. It asks again while JetStream
// does not answer, since the stream may be between two leaders.
func (p *Publisher) lookUp(ctx context.Context) error {
	if room := int(p.opts.Conn.MaxPayload()) - headerBytes; p.opts.MaxEventBytes > room {
		return fmt.Errorf("MAX_EVENT_BYTES is %d, more than the %d that max_payload of this NATS server leaves for data",
			p.opts.MaxEventBytes, room)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()

	info, err := backoff.Retry(ctx, func() (*jetstream.StreamInfo, error) {
		ctx, cancel := context.WithTimeout(ctx, lookUpAttempt)
		defer cancel()
		info, err := p.stream(ctx)
		if err == nil {
			err = event.CheckWritable(&info.Config)
		}
		if err != nil && !mayAppear(err) {
			err = backoff.Permanent(err)
		}
		return info, err
	},
		backoff.WithBackOff(retry.Until(p.opts.Timeout)),
		backoff.WithMaxElapsedTime(0), // the back-off knows
		backoff.WithNotify(func(err error, wait time.Duration) {
			p.opts.Logger.Warn("JetStream does not answer for the stream, trying again", "stream", p.opts.Stream,
				"err", err, "wait", wait.Round(time.Millisecond), "timeout", p.opts.Timeout)
		}))
	if err != nil {
		return p.asCause(fmt.Errorf("publish to the stream %s: %w", p.opts.Stream, err))
	}
	if p.opts.Create {
		want := p.wanted()
		for _, s := range event.Surprises(&info.Config, &want) {
			p.opts.Logger.Warn("the stream is used as it is", "stream", p.opts.Stream, "but", s)
		}
	}
	p.startSeq = info.State.LastSeq
	p.epoch, err = event.Epoch(info)
	return err
}

// stream asks for the stream once, and makes it where Options say so.
func (p *Publisher) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	if p.opts.Create {
		return event.EnsureStream(ctx, p.js, p.wanted())
	}
	s, err := p.js.Stream(ctx, p.opts.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w; create it for the subjects %s, or set CREATE_STREAM=true", err, event.AllSubjects)
	}
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// wanted is the stream as Options ask for it.
func (p *Publisher) wanted() jetstream.StreamConfig {
	limits := p.opts.Limits
	limits.MaxMsgBytes = p.opts.MaxEventBytes
	return event.StreamConfig(p.opts.Stream, limits)
}

// mayAppear reports whether the stream may answer later.
func mayAppear(err error) bool {
	if errors.Is(err, event.ErrUnfit) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrConnectionClosed) {
		return false
	}
	var js jetstream.JetStreamError
	if !errors.As(err, &js) {
		return true // of the connection
	}
	api := js.APIError() // nil when nats.go itself refused, such as a bad name
	return api != nil && api.Code >= http.StatusInternalServerError
}
