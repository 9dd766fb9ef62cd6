package publisher

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/publisher/event"
)

// The defaults of Options.
const (
	DefaultMaxPending      = 1024
	DefaultTimeout         = time.Minute
	DefaultAckTimeout      = 3 * time.Second
	DefaultConflictTimeout = 15 * time.Second
	DefaultDrainTimeout    = 8 * time.Second
)

// Options is how a Publisher works. Conn is required; the zero value of every
// other field is its default.
type Options struct {
	// Conn is the connection to publish on. It stays the caller's, who closes
	// it after Close. One publisher at a time may use it: New puts an error
	// handler before the connection's own to learn of refused permissions.
	// Connect with nats.ReconnectBufSize(-1): what nats.go would buffer while
	// disconnected overtakes what was lost on the wire.
	Conn *nats.Conn
	// APIPrefix is JetStream's, as in event.JetStream.
	APIPrefix string
	// Stream is the JetStream stream that must store the events.
	Stream string
	// Create makes the stream and the producers' bucket when they are
	// missing, the stream within Limits.
	Create bool
	Limits event.StreamLimits
	// MaxEventBytes bounds a payload.
	MaxEventBytes int
	// MaxPending bounds the events without an acknowledgement: Publish blocks
	// at it. 1 keeps the order through leader elections; see the package.
	MaxPending int
	// Timeout is how long the log may acknowledge nothing, retries included,
	// before the publisher gives up.
	Timeout time.Duration
	// AckTimeout is how long one attempt waits for its acknowledgement.
	AckTimeout time.Duration
	// ConflictTimeout is how long a replicated stream may call a message id "in
	// process" before the publisher takes it for lost there. nats-server
	// 2.15.2 can keep an id so for the whole duplicate window when its leader
	// steps down, though the event is not stored. It must be longer than the
	// 10 s that a leader without a quorum stays one.
	ConflictTimeout time.Duration
	// DrainTimeout is what is left to Run after its context has ended.
	DrainTimeout time.Duration
	// Name is the producer's name in event.ProducersBucket.
	Name string
	// Every is the declared period of the job that runs the publisher, 0 for
	// none.
	Every time.Duration
	// Logger gets retries at warn, failed events at error. nil is silent.
	Logger *slog.Logger
}

// complete fills in the defaults and checks the rest.
func (o *Options) complete() error {
	o.Stream = cmp.Or(o.Stream, event.DefaultStream)
	o.MaxEventBytes = cmp.Or(o.MaxEventBytes, event.DefaultMaxBytes)
	o.MaxPending = cmp.Or(o.MaxPending, DefaultMaxPending)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.AckTimeout = cmp.Or(o.AckTimeout, DefaultAckTimeout)
	o.ConflictTimeout = cmp.Or(o.ConflictTimeout, DefaultConflictTimeout)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, DefaultDrainTimeout)
	o.Name = cmp.Or(o.Name, event.DefaultProducer)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Conn == nil {
		return errors.New("publisher: Options.Conn is nil")
	}
	if o.MaxPending < 0 || o.MaxEventBytes < 0 || o.Timeout < 0 || o.AckTimeout < 0 ||
		o.ConflictTimeout < 0 || o.DrainTimeout < 0 || o.Every < 0 {
		return errors.New("publisher: a bound in Options is negative")
	}
	return CheckName(o.Name)
}

// CheckName reports whether name can be a producer's name: a topic of one
// token, because it ends a NATS subject.
func CheckName(name string) error {
	if event.CheckTopic(name) != nil || strings.Contains(name, ".") {
		return fmt.Errorf("producer name %q: it is 1 to %d characters from A-Z a-z 0-9 _ -", name, event.MaxTokenBytes)
	}
	return nil
}
