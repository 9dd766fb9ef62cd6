package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// serviceName is the fleet's name among NATS services (ADR-32).
	serviceName = "sluice-edge"
	// statusSubject is the service's one endpoint: any instance answers with
	// its report. It lies below $SRV so that an edge needs no further right.
	statusSubject = micro.APIPrefix + ".STATUS." + serviceName

	fleetPause   = time.Second            // between two counts, at least
	fleetQuiet   = 100 * time.Millisecond // without an answer: all have answered
	fleetTimeout = time.Second            // for one count
	// fleetRate bounds what counting costs: a large fleet is counted less
	// often, so that no process handles more answers a second than this.
	fleetRate = 100
	// maxInstances and maxAnswers bound one count, in answers and in bytes.
	maxInstances = 4096
	maxAnswers   = 16 << 20
)

// report is what an instance tells the others, in its service's statistics.
type report struct {
	Clients   int    `json:"clients"`
	Position  uint64 `json:"position"`
	Lag       uint64 `json:"lag"`
	Heartbeat bool   `json:"heartbeat"`
}

// others is what is known of the other instances.
type others struct {
	clients   int
	instances int
	heartbeat bool      // one of them sends heartbeats
	at        time.Time // zero: nothing was ever known
}

// fleet is the instances that serve the same JetStream stream from the same
// NATS account.
type fleet struct {
	cfg    Config
	own    func() Local
	demand *demand
	id     atomic.Value // string: this process in the fleet, "" before it joined
	last   atomic.Value // others
}

func newFleet(cfg Config, own func() Local) *fleet {
	f := &fleet{cfg: cfg, own: own}
	f.id.Store("")
	f.last.Store(others{})
	// Half an interval more, so that a heartbeat in time finds a fresh count.
	f.demand = newDemand(f.refresh, f.pause, cfg.Heartbeat*3/2)
	return f
}

// known is the last count.
func (f *fleet) known() others { return f.last.Load().(others) }

func (f *fleet) pause() time.Duration {
	return max(fleetPause, time.Duration(f.known().instances)*time.Second/fleetRate)
}

func (f *fleet) report() report {
	l := f.own()
	return report{Clients: l.Clients, Position: l.Position, Lag: l.Lag, Heartbeat: l.Heartbeat}
}

// join makes this process answer to the others until leave, also over an
// outage of NATS.
func (f *fleet) join() (leave func() error, err error) {
	config := micro.Config{
		Name:        serviceName,
		Version:     strings.TrimPrefix(f.cfg.Version, "v"),
		Description: "Sluice streaming edge",
		Metadata: map[string]string{
			"stream":   f.own().Stream,
			"instance": f.cfg.Instance,
			"version":  f.cfg.Version,
		},
		StatsHandler: func(*micro.Endpoint) any { return f.report() },
		Endpoint: &micro.EndpointConfig{
			Subject: statusSubject,
			Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.RespondJSON(f.report()) }),
		},
	}
	service, err := micro.AddService(f.cfg.Conn, config)
	if errors.Is(err, micro.ErrConfigValidation) {
		config.Version = "0.0.0" // ours is no SemVer, which the service insists on
		service, err = micro.AddService(f.cfg.Conn, config)
	}
	if err != nil {
		return nil, err
	}
	f.id.Store(service.Info().ID)
	return service.Stop, nil
}

// refresh counts the others, unless NATS is down.
func (f *fleet) refresh(ctx context.Context) {
	if !f.cfg.Conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	now, err := f.count(ctx)
	if err != nil {
		f.cfg.Log.Debug("the fleet is not counted", "err", err)
		return
	}
	f.last.Store(now)
}

// count asks all instances and adds up the answers of the others. It fails
// when not even this process answered.
func (f *fleet) count(ctx context.Context) (others, error) {
	inbox := f.cfg.Conn.NewInbox()
	sub, err := f.cfg.Conn.SubscribeSync(inbox)
	if err != nil {
		return others{}, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	if err := sub.SetPendingLimits(maxInstances, maxAnswers); err != nil {
		return others{}, err
	}
	if err := f.cfg.Conn.PublishRequest(micro.APIPrefix+".STATS."+serviceName, inbox, nil); err != nil {
		return others{}, err
	}
	self, stream := f.id.Load().(string), f.own().Stream
	sum, seen := others{}, map[string]bool{}
	for wait := fleetTimeout; len(seen) < maxInstances; wait = fleetQuiet {
		m, err := next(ctx, sub, wait)
		if errors.Is(err, context.DeadlineExceeded) {
			break // all have answered, or the time is up
		}
		if err != nil {
			return others{}, err
		}
		stats, r, err := parseAnswer(m)
		if err != nil || stats.Metadata["stream"] != stream || seen[stats.ID] {
			continue
		}
		if seen[stats.ID] = true; stats.ID == self {
			continue
		}
		sum.clients += r.Clients
		sum.instances++
		sum.heartbeat = sum.heartbeat || r.Heartbeat
	}
	if len(seen) == 0 {
		return others{}, errors.New("nobody answered, not even this process: may it publish $SRV.STATS.> and answer requests?")
	}
	sum.at = time.Now()
	return sum, ctx.Err()
}

func next(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

func parseAnswer(m *nats.Msg) (stats micro.Stats, r report, err error) {
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		return stats, r, fmt.Errorf("statistics of %s: %w", serviceName, err)
	}
	if len(stats.Endpoints) != 1 {
		return stats, r, fmt.Errorf("statistics of %s: %d endpoints instead of one", serviceName, len(stats.Endpoints))
	}
	return stats, r, json.Unmarshal(stats.Endpoints[0].Data, &r)
}
