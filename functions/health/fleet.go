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
	// fallbackVersion is told when ours is no SemVer, which a service must have.
	fallbackVersion = "0.0.0"
	// statusSubject is the service's one endpoint: one of the instances answers
	// with its report. An edge needs the right to $SRV.> anyway, so no other one
	// for it.
	statusSubject = micro.APIPrefix + ".STATUS." + serviceName
	// statsSubject is answered by every instance with its statistics.
	statsSubject = micro.APIPrefix + ".STATS." + serviceName
	// streamKey is where a service's metadata has the JetStream stream.
	streamKey = "stream"

	fleetPause   = time.Second            // between two counts, at least
	fleetTimeout = time.Second            // for one count
	fleetQuiet   = 100 * time.Millisecond // after an answer: there are no more
	// fleetRate bounds what counting costs: a large fleet is counted less
	// often, so that no process reads more answers a second than this.
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

// others is a count of the other instances.
type others struct {
	clients   int
	instances int
	heartbeat bool      // one of them sends heartbeats
	at        time.Time // when they were counted; zero: never
}

// fleet counts the instances that serve the same JetStream stream from the same
// NATS account.
type fleet struct {
	cfg    Config
	own    func() Local
	demand *demand
	id     atomic.Pointer[string] // of this process in the fleet; empty before join
	last   atomic.Pointer[others] // the last count
}

func newFleet(cfg Config, own func() Local) *fleet {
	f := &fleet{cfg: cfg, own: own}
	f.id.Store(new(string))
	f.last.Store(new(others))
	// Half an interval more than the heartbeats need, which ask once in each:
	// so they always find a fresh count.
	f.demand = newDemand(f.refresh, f.pause, cfg.Heartbeat*3/2)
	return f
}

// known is the last count.
func (f *fleet) known() others { return *f.last.Load() }

func (f *fleet) pause() time.Duration {
	return max(fleetPause, time.Duration(f.known().instances)*time.Second/fleetRate)
}

func (f *fleet) report() report {
	l := f.own()
	return report{Clients: l.Clients, Position: l.Position, Lag: l.Lag, Heartbeat: l.Heartbeat}
}

// join makes this process answer the others' questions until leave is called,
// also after an outage of NATS.
func (f *fleet) join() (leave func() error, err error) {
	config := micro.Config{
		Name:        serviceName,
		Version:     strings.TrimPrefix(f.cfg.Version, "v"),
		Description: "Sluice streaming edge",
		Metadata: map[string]string{
			streamKey:  f.own().Stream,
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
		config.Version = fallbackVersion
		service, err = micro.AddService(f.cfg.Conn, config)
	}
	if err != nil {
		return nil, err
	}
	id := service.Info().ID
	f.id.Store(&id)
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
		f.cfg.Logger.Debug("the fleet is not counted", "err", err)
		return
	}
	f.last.Store(&now)
}

// count asks all instances and adds up the answers of the others.
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
	if err := f.cfg.Conn.PublishRequest(statsSubject, inbox, nil); err != nil {
		return others{}, err
	}
	return f.sum(ctx, sub)
}

// sum reads the answers until there are no more. It fails when not even this
// process has answered.
func (f *fleet) sum(ctx context.Context, sub *nats.Subscription) (others, error) {
	self, stream := *f.id.Load(), f.own().Stream
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
		if err != nil || stats.Metadata[streamKey] != stream || seen[stats.ID] {
			continue
		}
		seen[stats.ID] = true
		if stats.ID == self {
			continue
		}
		sum.clients += r.Clients
		sum.instances++
		sum.heartbeat = sum.heartbeat || r.Heartbeat
	}
	if len(seen) == 0 {
		return others{}, errors.New("nobody answered, not even this process: may it publish " + statsSubject + " and answer requests?")
	}
	sum.at = time.Now()
	return sum, ctx.Err()
}

// next waits for an answer for as long as wait and ctx allow.
func next(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// parseAnswer takes an instance's report out of its statistics.
func parseAnswer(m *nats.Msg) (stats micro.Stats, r report, err error) {
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		return stats, r, fmt.Errorf("statistics of %s: %w", serviceName, err)
	}
	if len(stats.Endpoints) != 1 {
		return stats, r, fmt.Errorf("statistics of %s: %d endpoints instead of one", serviceName, len(stats.Endpoints))
	}
	return stats, r, json.Unmarshal(stats.Endpoints[0].Data, &r)
}
