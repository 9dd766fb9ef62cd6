package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// alonePause is how often the JetStream stream is looked up at most.
	alonePause = time.Second
	// aloneTimeout bounds one look-up.
	aloneTimeout = 2 * time.Second
)

// alone is the state of a process that serves no streams: whether NATS and the
// JetStream stream are there, asked for while somebody wants to know.
type alone struct {
	cfg  Config
	asks *demand

	mu   sync.Mutex
	last Local
}

func newAlone(cfg Config) *alone {
	a := &alone{cfg: cfg, last: Local{Stream: cfg.Stream, Loaded: true}}
	a.asks = newDemand(a.refresh, func() time.Duration { return alonePause }, alonePause)
	return a
}

func (a *alone) local() Local {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.last
	l.NATS = a.cfg.Conn.IsConnected()
	return l
}

func (a *alone) refresh(ctx context.Context) {
	if !a.cfg.Conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aloneTimeout)
	defer cancel()
	s, err := a.cfg.JS.Stream(ctx, a.cfg.Stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return // nothing new is known
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last.Present = err == nil; a.last.Present {
		a.last.FirstSeq, a.last.LastSeq = s.CachedInfo().State.FirstSeq, s.CachedInfo().State.LastSeq
	}
}
