package access

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/logging"
)

const (
	// DefaultMaxConnections is what a zero Config.MaxConnections means.
	DefaultMaxConnections = 16384
	// busyRetry is the least time after which a refused client is to come back.
	busyRetry = 5 * time.Second
	// awayRetry is the same for one that an instance sends away because it stops.
	awayRetry = time.Second
)

// Config is what a Gate needs; zero fields take defaults.
type Config struct {
	// MaxConnections is how many streams may be open at once.
	MaxConnections int
	Logger         *slog.Logger          // default: none
	Registry       prometheus.Registerer // default: none
}

// Gate admits streams. It is safe for concurrent use.
type Gate struct {
	max      int64
	open     atomic.Int64
	draining atomic.Bool
	memory   memory
	logger   *slog.Logger
	refused  *prometheus.CounterVec
	seldom   logging.Seldom
}

// NewGate makes a gate that is open.
func NewGate(cfg Config) *Gate {
	g := &Gate{
		max:    int64(cmp.Or(cfg.MaxConnections, DefaultMaxConnections)),
		logger: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_requests_refused_total", Help: "Streams that were not begun, by why.",
		}, []string{"code"}),
	}
	for _, code := range codes { // so that none is missing before its first refusal
		g.refused.WithLabelValues(string(code))
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(g.refused)
	}
	return g
}

// Grant is the leave to serve one stream.
type Grant struct {
	gate *Gate
	once sync.Once
}

// Admit takes a place for a stream, or says why there is none.
func (g *Gate) Admit() (*Grant, *Refusal) {
	if g.draining.Load() {
		return nil, Away()
	}
	for {
		open := g.open.Load()
		switch {
		case open >= g.max:
			return nil, Later(TooManyConnections, "all connections of this instance are in use; try again later", busyRetry)
		case g.memory.low():
			return nil, Later(LowMemory, "this instance is near its memory limit; try again later", busyRetry)
		case g.open.CompareAndSwap(open, open+1):
			return &Grant{gate: g}, nil
		}
	}
}

// Release gives the place back. It is called when the stream ends; only the
// first call counts.
func (gr *Grant) Release() {
	gr.once.Do(func() { gr.gate.open.Add(-1) })
}

// Away is the refusal of a stream by an instance that stops.
func Away() *Refusal { return Later(Draining, "this instance goes away; reconnect", awayRetry) }

// NotStarted is the refusal of a stream by an instance that has never read the log.
func NotStarted() *Refusal {
	return Later(Starting, "this instance has not read the event log yet; try again later", busyRetry)
}

// NoLog is the refusal of a stream for which the log has to be asked.
func NoLog(cause error) *Refusal {
	r := Later(LogUnavailable, "the event log cannot be read now; try again later", busyRetry)
	r.Cause = cause
	return r
}

// Drain has every later request refused with Draining.
func (g *Gate) Drain() { g.draining.Store(true) }

// Note counts a refusal, also one that is not Admit's, and logs it at most once
// a second per code, with how many there were since the last one logged.
func (g *Gate) Note(why *Refusal, r *http.Request) {
	g.refused.WithLabelValues(string(why.Code)).Inc()
	refused, ok := g.seldom.Turn(string(why.Code))
	if !ok {
		return
	}
	args := []any{"code", why.Code, "refused", refused, "message", why.Message, "remote", r.RemoteAddr}
	if why.Cause != nil {
		args = append(args, "err", why.Cause)
	}
	g.logger.Warn("streams are refused", args...)
}
