package stream

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
)

// What zero fields of a Config mean.
const (
	DefaultStallTimeout = 10 * time.Second
	DefaultMinRate      = 1024 // bytes per second
	DefaultStartTimeout = 5 * time.Second
)

// Config is what a Handler needs. Feed and Encoder must be set; other zero
// fields take the defaults above.
type Config struct {
	Feed     *feed.Feed
	Encoder  *sse.Encoder
	Logger   *slog.Logger          // default: none
	Registry prometheus.Registerer // default: none

	// Gate admits the streams.
	Gate *access.Gate // default: one without tokens and limits for clients
	// MaxAge ends connections after that time ± 5 %; 0 never does.
	MaxAge time.Duration
	// StallTimeout and MinRate: a client for which bytes wait must take
	// MinRate × StallTimeout of them, 64 at least, within StallTimeout.
	StallTimeout time.Duration
	MinRate      int // bytes per second
	// StartTimeout is how long a request waits for the log to be read for the
	// first time, and holds a place meanwhile.
	StartTimeout time.Duration
	// IDLast has the id as the last line of each block, for requests that do
	// not say ?id=.
	IDLast bool
	// ThroughHTTP turns the direct way off.
	ThroughHTTP bool
}

func (c *Config) setDefaults() {
	c.StallTimeout = cmp.Or(c.StallTimeout, DefaultStallTimeout)
	c.MinRate = cmp.Or(c.MinRate, DefaultMinRate)
	c.StartTimeout = cmp.Or(c.StartTimeout, DefaultStartTimeout)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Gate == nil {
		c.Gate = access.NewGate(access.Config{Logger: c.Logger, Registry: c.Registry})
	}
}
