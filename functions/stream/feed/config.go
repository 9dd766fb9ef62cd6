package feed

import (
	"cmp"
	"log/slog"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// What zero fields of a Config mean.
const (
	DefaultRingEvents   = 65536
	DefaultRingBytes    = 64 << 20
	DefaultPendingMsgs  = 100
	DefaultPendingBytes = 1 << 20
)

// replaysPerProcessor keeps the processors busy with chunks while others wait for
// NATS. More would only have live clients wait for them.
const replaysPerProcessor = 4

// Config is what a Feed needs. Conn and Wire must be set; other zero fields take
// the defaults above, event.DefaultHeartbeat, or what is said here.
type Config struct {
	Conn      *nats.Conn
	APIPrefix string // of JetStream, as in event.JetStream
	Stream    string // JetStream stream, default event.DefaultStream
	// Filter narrows the reader to these topic filters; none is everything.
	Filter []string
	// Instance names this process's consumers; one NATS token. Default: random.
	Instance string

	RingEvents int   // most events kept in memory
	RingBytes  int64 // most bytes kept in memory

	Pending fanout.Limits // what may wait for one live client

	ReplayConcurrency int // replay chunks under way at once; default: four per processor

	HeartbeatInterval time.Duration
	// Clients is the number of clients of the whole fleet that heartbeats
	// tell; it must not block. Default: those of this feed.
	Clients func() int

	Wire     wire.Wire // the plain format, in which the ring keeps events
	Shards   int       // default: one per processor
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

func (c *Config) setDefaults() {
	c.Stream = cmp.Or(c.Stream, event.DefaultStream)
	c.Instance = cmp.Or(c.Instance, nats.NewInbox()[len(nats.InboxPrefix):])
	c.RingEvents = cmp.Or(c.RingEvents, DefaultRingEvents)
	c.RingBytes = cmp.Or(c.RingBytes, DefaultRingBytes)
	c.Pending.Msgs = cmp.Or(c.Pending.Msgs, DefaultPendingMsgs)
	c.Pending.Bytes = cmp.Or(c.Pending.Bytes, DefaultPendingBytes)
	c.ReplayConcurrency = cmp.Or(c.ReplayConcurrency, replaysPerProcessor*runtime.GOMAXPROCS(0))
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, event.DefaultHeartbeat)
	c.Shards = cmp.Or(c.Shards, runtime.GOMAXPROCS(0))
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
}
