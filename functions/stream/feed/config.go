package feed

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Config is what a Feed needs. Zero fields take the defaults
// that README.md lists.
type Config struct {
	Conn   *nats.Conn
	Stream string // JetStream stream, default event.DefaultStream
	// Filter narrows the reader to these topic filters; none is everything.
	Filter []string
	// Instance names this process's consumers; one NATS token.
	Instance string

	RingEvents int   // most events kept in memory
	RingBytes  int64 // most bytes kept in memory

	PendingMsgs  int           // events a live client may leave untaken
	PendingBytes int64         // bytes a live client may leave untaken
	StallTimeout time.Duration // longest wait for a client to take bytes

	ReplayConcurrency int // replay chunks under way at once

	HeartbeatInterval time.Duration
	// Clients is the number of clients of the whole fleet that heartbeats
	// tell; it must not block. Default: those of this feed.
	Clients func() int

	Encoder  *sse.Encoder
	Shards   int // default: one per processor
	Log      *slog.Logger
	Registry prometheus.Registerer
}

func (c *Config) setDefaults() {
	setDefault(&c.Stream, event.DefaultStream)
	setDefault(&c.Instance, nats.NewInbox()[len(nats.InboxPrefix):])
	setDefault(&c.RingEvents, 65536)
	setDefault(&c.RingBytes, 64<<20)
	setDefault(&c.PendingMsgs, 100)
	setDefault(&c.PendingBytes, 1<<20)
	setDefault(&c.StallTimeout, 10*time.Second)
	setDefault(&c.ReplayConcurrency, 32)
	setDefault(&c.HeartbeatInterval, 30*time.Second)
	setDefault(&c.Shards, runtime.GOMAXPROCS(0))
	if c.Encoder == nil {
		c.Encoder = sse.NewEncoder(c.Stream, 5*time.Second, event.DefaultMaxBytes)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
}

func setDefault[T comparable](v *T, def T) {
	if *v == *new(T) {
		*v = def
	}
}
