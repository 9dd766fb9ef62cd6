package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"sluice/publisher"
	"sluice/publisher/event"
)

// config is every setting: flag over environment over default.
type config struct {
	NATSURL          string        `name:"nats-url" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS servers, comma separated."`
	NATSCreds        string        `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file of the NATS user."`
	NATSInboxPrefix  string        `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" default:"_INBOX" help:"Prefix of the reply subjects that the NATS user may subscribe to."`
	Stream           string        `env:"STREAM" default:"${stream}" help:"JetStream stream that holds the log."`
	CreateStream     bool          `env:"CREATE_STREAM" default:"true" negatable:"" help:"Create the stream and the producers' bucket when they are missing."`
	StreamMaxAge     time.Duration `env:"STREAM_MAX_AGE" default:"24h" help:"Retention of a stream that is created."`
	StreamMaxBytes   int64         `env:"STREAM_MAX_BYTES" default:"1073741824" help:"Size of a stream that is created, in bytes."`
	StreamDuplicates time.Duration `env:"STREAM_DUPLICATES" default:"10m" help:"Window of a created stream in which a message id is stored once; NATS keeps its ids in memory, about 130 bytes an event."`
	StreamReplicas   int           `env:"STREAM_REPLICAS" default:"1" help:"Replicas of a stream that is created."`

	MaxEventBytes  int           `env:"MAX_EVENT_BYTES" default:"${max_event_bytes}" help:"Largest payload, in bytes."`
	MaxPending     int           `env:"MAX_PENDING" default:"${max_pending}" help:"Events on the way without an acknowledgement. 1 keeps their order even when the stream changes its leader, at one round trip per event."`
	ConnectTimeout time.Duration `env:"CONNECT_TIMEOUT" default:"10s" help:"How long to try to reach NATS at the start."`
	PublishTimeout time.Duration `name:"timeout" env:"PUBLISH_TIMEOUT" default:"${timeout}" help:"How long the log may acknowledge nothing, retries included, before the job gives up."`
	AckTimeout     time.Duration `env:"ACK_TIMEOUT" default:"${ack_timeout}" help:"How long one attempt waits for its acknowledgement."`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" default:"${drain_timeout}" help:"Time left for what is pending after SIGINT or SIGTERM."`

	Name     string        `env:"PRODUCER_NAME" help:"Name of the producer in /health (default: event_producer for demo and host, stdin for stdin)."`
	Every    time.Duration `env:"EVERY" help:"How often this job is started: /health misses it after three times that."`
	LogLevel slog.Level    `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`

	Demo  demoJob  `cmd:"" help:"Publish invented metrics, logs and alerts."`
	Host  hostJob  `cmd:"" help:"Publish this machine's CPU, memory, disk and network usage."`
	Stdin stdinJob `cmd:"" help:"Publish the lines of standard input, one JSON value each (NDJSON)."`

	job job // the chosen command
}

const description = `Publishes events to a Sluice log, waits until each is acknowledged, prints one line of JSON
{"published":…,"duplicates":…,"failed":…,"first_id":…,"last_id":…} and exits 0 only when nothing failed.`

// parse reads the settings. done means that there is nothing to run: the help
// was printed, or what is wrong with the settings.
func parse(args []string, stdout, stderr io.Writer) (cfg *config, code int, done bool) {
	cfg = &config{}
	parser, err := kong.New(cfg,
		kong.Name("publisher"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { done = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Vars{
			"stream":          event.DefaultStream,
			"max_event_bytes": fmt.Sprint(event.DefaultMaxBytes),
			"max_pending":     fmt.Sprint(publisher.DefaultMaxPending),
			"timeout":         publisher.DefaultTimeout.String(),
			"ack_timeout":     publisher.DefaultAckTimeout.String(),
			"drain_timeout":   publisher.DefaultDrainTimeout.String(),
		})
	if err == nil {
		_, err = parser.Parse(args)
	}
	if done || err == nil {
		return cfg, 0, done
	}
	fmt.Fprintf(stderr, "publisher: %s\nRun publisher --help for the settings.\n", err)
	return nil, 1, true
}

// AfterApply is called by kong with all settings read: it notes the command
// and checks everything at once.
func (c *config) AfterApply(ctx *kong.Context) error {
	jobs := map[string]job{"demo": &c.Demo, "host": &c.Host, "stdin": &c.Stdin}
	c.job = jobs[ctx.Command()]
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Stream != "" && !strings.ContainsAny(c.Stream, ". *>/\\\t\r\n"),
		"--stream (STREAM) %q: a stream name has no spaces, dots, wildcards or slashes", c.Stream)
	check(c.NATSInboxPrefix != "" && !strings.ContainsAny(c.NATSInboxPrefix, " *>\t\r\n") &&
		!strings.HasPrefix(c.NATSInboxPrefix, ".") && !strings.HasSuffix(c.NATSInboxPrefix, "."),
		"--nats-inbox-prefix (NATS_INBOX_PREFIX) %q: it is a NATS subject without wildcards", c.NATSInboxPrefix)
	if c.NATSCreds != "" {
		_, err := os.Stat(c.NATSCreds)
		check(err == nil, "--nats-creds (NATS_CREDS): %w", err)
	}
	check(c.StreamMaxAge >= time.Second, "--stream-max-age (STREAM_MAX_AGE) %s: at least 1s", c.StreamMaxAge)
	check(c.StreamMaxBytes > 0, "--stream-max-bytes (STREAM_MAX_BYTES) %d: more than 0", c.StreamMaxBytes)
	check(!c.CreateStream || c.StreamDuplicates >= c.PublishTimeout, "--stream-duplicates (STREAM_DUPLICATES) %s: at least PUBLISH_TIMEOUT, %s, so that what is sent again is stored once", c.StreamDuplicates, c.PublishTimeout)
	check(c.StreamReplicas >= 1 && c.StreamReplicas <= 5, "--stream-replicas (STREAM_REPLICAS) %d: 1 to 5", c.StreamReplicas)
	check(c.MaxEventBytes > 0 && c.MaxEventBytes <= maxMaxEventBytes,
		"--max-event-bytes (MAX_EVENT_BYTES) %d: 1 to %d", c.MaxEventBytes, maxMaxEventBytes)
	check(c.MaxPending >= 1 && c.MaxPending <= maxMaxPending,
		"--max-pending (MAX_PENDING) %d: 1 to %d", c.MaxPending, maxMaxPending)
	check(c.ConnectTimeout > 0, "--connect-timeout (CONNECT_TIMEOUT) %s: more than 0", c.ConnectTimeout)
	check(c.PublishTimeout > 0, "--timeout (PUBLISH_TIMEOUT) %s: more than 0", c.PublishTimeout)
	check(c.AckTimeout > 0, "--ack-timeout (ACK_TIMEOUT) %s: more than 0", c.AckTimeout)
	check(c.DrainTimeout > 0, "--drain-timeout (DRAIN_TIMEOUT) %s: more than 0", c.DrainTimeout)
	check(c.Every >= 0, "--every (EVERY) %s: not negative", c.Every)
	if c.job != nil {
		err := publisher.CheckName(c.producerName())
		check(err == nil, "--name (PRODUCER_NAME): %w", err)
		errs = append(errs, c.job.check()...)
	}
	return errors.Join(errs...)
}

const (
	maxMaxEventBytes = 64 << 20 // what a NATS server can be set to carry
	// maxMaxPending is what a JetStream stream queues before it refuses.
	maxMaxPending = 10_000
)

func (c *config) producerName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.job.name()
}

func (c *config) options(conn *nats.Conn, log *slog.Logger) publisher.Options {
	return publisher.Options{
		Conn:   conn,
		Stream: c.Stream,
		Create: c.CreateStream,
		Limits: event.StreamLimits{
			MaxAge: c.StreamMaxAge, MaxBytes: c.StreamMaxBytes, Duplicates: c.StreamDuplicates, Replicas: c.StreamReplicas,
		},
		MaxEventBytes: c.MaxEventBytes,
		MaxPending:    c.MaxPending,
		Timeout:       c.PublishTimeout,
		AckTimeout:    c.AckTimeout,
		DrainTimeout:  c.DrainTimeout,
		Name:          c.producerName(),
		Every:         c.Every,
		Log:           log,
	}
}
