package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// lookupPause is the time between two look-ups, at least.
	lookupPause = time.Second
	// lookupTimeout bounds one look-up.
	lookupTimeout = time.Second
)

// lookup finds out for a process that serves no streams whether the JetStream
// stream is there. It asks NATS only while somebody wants to know.
type lookup struct {
	cfg    Config
	demand *demand

	mu   sync.Mutex
	last Local
}

func newLookup(cfg Config) *lookup {
	u := &lookup{cfg: cfg, last: Local{Stream: cfg.Stream, Loaded: true}}
	u.demand = newDemand(u.refresh, func() time.Duration { return lookupPause }, lookupPause)
	return u
}

// local is what the last look-up found, with the connection as it is now.
func (u *lookup) local() Local {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.last
	l.NATS = u.cfg.Conn.IsConnected()
	return l
}

func (u *lookup) refresh(ctx context.Context) {
	if !u.cfg.Conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s, err := u.cfg.JS.Stream(ctx, u.cfg.Stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return // nothing new is known
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last.Present = err == nil
	if u.last.Present {
		state := s.CachedInfo().State
		u.last.FirstSeq, u.last.LastSeq = state.FirstSeq, state.LastSeq
	}
}
