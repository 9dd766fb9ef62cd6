package access

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access/address"
	"sluice/functions/access/limit"
	"sluice/functions/access/revoked"
	"sluice/functions/access/rights"
	"sluice/functions/access/token"
	"sluice/functions/logging"
	"sluice/functions/topics"
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
	// Tokens says who asks, and Claim in which claim what they may do stands. Nil
	// lets everybody do everything.
	Tokens *token.Verifier
	Claim  string
	// Revoked is the list of what is revoked. The Gate is told by it.
	Revoked *revoked.List // default: nothing ever is
	// Addresses says where clients are.
	Addresses *address.Reader // default: at the other end of the connection
	// PublishOpen lets everybody publish where there are no Tokens; else only who
	// is on this machine.
	PublishOpen bool
	Limits      limit.Config          // default: none
	Logger      *slog.Logger          // default: none
	Registry    prometheus.Registerer // default: none
}

// Gate admits streams. It is safe for concurrent use.
type Gate struct {
	cfg      Config
	limits   *limit.Limits
	max      int64
	open     atomic.Int64
	draining atomic.Bool
	memory   memory
	holders  holders
	refused  *prometheus.CounterVec
	seldom   logging.Seldom
}

// NewGate makes a gate that is open.
func NewGate(cfg Config) *Gate {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	g := &Gate{
		cfg:    cfg,
		limits: limit.New(cfg.Limits),
		max:    int64(cmp.Or(cfg.MaxConnections, DefaultMaxConnections)),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_requests_refused_total", Help: "Streams that were not begun, by why.",
		}, []string{"code"}),
	}
	for _, code := range StreamCodes { // so that none is missing before its first refusal
		g.refused.WithLabelValues(string(code))
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(g.refused)
	}
	if cfg.Revoked != nil {
		cfg.Revoked.Tell(g.holders.revoke)
	}
	return g
}

// Want is what a request asks for.
type Want struct {
	Topics *topics.Set
	// Named says that the request named its topics: each must be allowed. Else
	// Topics is all that there is, and the request gets of it what is allowed.
	Named bool
}

// Admit takes a place for a stream, or says why there is none. What costs least
// is looked at first, so that whoever asks too often costs little.
func (g *Gate) Admit(r *http.Request, want Want) (*Grant, *Refusal) {
	if g.draining.Load() {
		return nil, Away()
	}
	addr := g.cfg.Addresses.Of(r)
	if err := g.limits.Arrive(addr); err != nil {
		return nil, overLimit(err)
	}
	gr := &Grant{Address: addr, gate: g}
	if bad := g.identify(r, want, gr); bad != nil {
		return nil, bad
	}
	claim := limit.Claim{Address: addr, Subject: gr.Subject, Topics: gr.Topics.String()}
	release, err := g.limits.Take(claim)
	if err != nil {
		return nil, overLimit(err)
	}
	if bad := g.place(); bad != nil {
		release()
		return nil, bad
	}
	gr.release, gr.Replay = release, g.limits.Replay(claim)
	g.holders.add(gr)
	// A revocation that came before it was a holder has not been told to it.
	if g.cfg.Revoked != nil && g.cfg.Revoked.Has(gr.keys...) {
		gr.Release()
		return nil, unauthorized(TokenRevoked, "this token was revoked")
	}
	return gr, nil
}

// identify says who asks and what of it that client may have.
func (g *Gate) identify(r *http.Request, want Want, gr *Grant) *Refusal {
	leave := rights.All()
	if g.cfg.Tokens != nil {
		t, may, bad := g.verify(r)
		if bad != nil {
			return bad
		}
		leave, gr.Subject, gr.until, gr.keys = may, t.Subject, t.Expires, revocable(t)
	}
	var err error
	if gr.Topics, err = leave.Subscribe(want.Topics, want.Named); err != nil {
		return Refuse(http.StatusForbidden, TopicForbidden, err.Error())
	}
	return nil
}

// verify is the request's token, and what it allows.
func (g *Gate) verify(r *http.Request) (*token.Token, *rights.Rights, *Refusal) {
	t, err := g.cfg.Tokens.Verify(r)
	if err != nil {
		return nil, nil, badToken(err)
	}
	may, err := rights.New(t.Claims, g.cfg.Claim)
	if err != nil {
		return nil, nil, Refuse(http.StatusForbidden, GrantInvalid, err.Error())
	}
	return t, may, nil
}

// place takes one of the process's places.
func (g *Gate) place() *Refusal {
	for {
		open := g.open.Load()
		switch {
		case open >= g.max:
			return Later(TooManyConnections, "all connections of this instance are in use; try again later", busyRetry)
		case g.memory.low():
			return Later(LowMemory, "this instance is near its memory limit; try again later", busyRetry)
		case g.open.CompareAndSwap(open, open+1):
			return nil
		}
	}
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
	args := []any{"code", why.Code, "refused", refused, "message", why.Message, "remote", Remote(r, g.cfg.Addresses.Of(r))}
	if why.Cause != nil {
		args = append(args, "err", why.Cause)
	}
	g.cfg.Logger.Warn("streams are refused", args...)
}

// Remote is where a client is, for the log: the other end of its connection, and
// behind a trusted proxy its address.
func Remote(r *http.Request, client netip.Addr) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || peer.Addr().Unmap().WithZone("") == client {
		return r.RemoteAddr
	}
	return client.String()
}
