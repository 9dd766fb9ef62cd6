package stream

import (
	"log/slog"
	"time"

	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
)

// Config is what a Handler needs. Feed and Encoder must be set; zero limits
// take the defaults that README.md lists.
type Config struct {
	Feed    *feed.Feed
	Encoder *sse.Encoder
	Log     *slog.Logger

	// MaxConnections is how many streams may be open at once.
	MaxConnections int
	// MaxAge ends connections after that time ± 5 %; 0 never does.
	MaxAge time.Duration
	// StallTimeout is how long a client may take for MinRate × StallTimeout
	// bytes that wait for it, in 64 bytes at least.
	StallTimeout time.Duration
	// MinRate is in bytes per second.
	MinRate int
	// ThroughHTTP turns the direct way off.
	ThroughHTTP bool
}

func (c *Config) setDefaults() {
	if c.MaxConnections == 0 {
		c.MaxConnections = 16384
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 10 * time.Second
	}
	if c.MinRate == 0 {
		c.MinRate = 1024
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// piece is how many bytes a client must take within StallTimeout.
func (c *Config) piece() int {
	return max(64, int(float64(c.MinRate)*c.StallTimeout.Seconds()))
}
