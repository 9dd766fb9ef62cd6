package trial

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/infra/bench/fleet"
)

// Result is what a trial has measured.
type Result struct {
	Server   string
	Scenario Scenario

	Throughput  Throughput
	CPU         CPU
	Memory      Memory
	Latency     Latency
	Defects     Defects
	Connections Connections
	Generator   Generator
	Storm       *StormResult // nil without a storm
}

// Throughput is in deliveries per second, all clients together.
type Throughput struct {
	PerSecond float64
	Expected  float64 // what the schedule asks for
}

// CPU is the server's processor time, NaN if not known.
type CPU struct {
	PerDelivery float64 // in µs
	Cores       float64 // processors kept busy
}

// Memory is the server's resident memory in bytes, 0 if not known.
type Memory struct {
	Before int64 // without clients
	Idle   int64 // with all clients connected, and idle
	After  int64
}

// Latency is how long after their scheduled times the events of the window
// came, those that are missing being Never.
type Latency struct{ P50, P99, P999, Max time.Duration }

// Defects are the deliveries that were not as they should be.
type Defects struct {
	Missing uint64
	Again   uint64 // twice or out of order
	BadIDs  uint64 // with no id, or one that did not rise
}

// Connections is how many connections failed, and how.
type Connections struct {
	Cut      int // closed by the server
	StuckCut int // stuck ones closed by the server
	Failed   int // without a stream
	Why      error
}

// Generator is how the load generator itself did.
type Generator struct {
	CPU          float64       // the clients' µs per delivery
	ClientLag    time.Duration // 99th percentile
	Overslept    time.Duration // the schedule's, 99th percentile
	PublishDelay time.Duration // the worst, the server's part included
}

// StormResult is how a storm went.
type StormResult struct {
	Reconnected, CaughtUp time.Duration // of all clients; 0 for never
	P50, P99              time.Duration // of one client, from its connect
	Requests              map[string]int
	Total                 int // requests to NATS
}

// Never is the latency of what has not come.
const Never = time.Duration(math.MaxInt64)

// Quantile is the value at q (0 to 1) of h when missing more events never came.
func Quantile(h *hdrhistogram.Histogram, missing uint64, q float64) time.Duration {
	have := h.TotalCount()
	all := float64(have) + float64(missing)
	if all == 0 {
		return 0
	}
	rank := math.Ceil(q * all)
	if rank > float64(have) {
		return Never
	}
	if q >= 1 {
		return time.Duration(h.Max())
	}
	return time.Duration(h.ValueAtQuantile(100 * rank / float64(have)))
}

func latencyOf(h *hdrhistogram.Histogram, missing uint64) Latency {
	return Latency{
		P50:  Quantile(h, missing, .50),
		P99:  Quantile(h, missing, .99),
		P999: Quantile(h, missing, .999),
		Max:  Quantile(h, missing, 1),
	}
}

func (r *Result) counts(c fleet.Counts) {
	r.Defects = Defects{Missing: c.Missing, Again: c.Again, BadIDs: c.BadIDs}
	r.Connections = Connections{Cut: c.Cut, StuckCut: c.StuckCut, Failed: c.Failed + c.Refused, Why: c.FirstError}
}

// With fewer clients than fewClients their memory is lost in the server's own.
const fewClients = 100

// PerClient is the server's memory per idle connection, in bytes; NaN if not
// known.
func (r *Result) PerClient() float64 {
	clients := r.Scenario.clients() + r.Scenario.Stuck
	if r.Memory.Before == 0 || clients < fewClients {
		return math.NaN()
	}
	return float64(r.Memory.Idle-r.Memory.Before) / float64(clients)
}

// Void is why the result does not count, nil if it does: the generator itself
// was late.
func (r *Result) Void() error {
	g := &r.Generator
	if most := r.Scenario.MaxLag; max(g.ClientLag, g.Overslept) > most {
		return fmt.Errorf("void: the load generator itself was late (clients %s, schedule %s at the 99th percentile, --max-lag %s): run it on a machine with less to do, or with less load",
			g.ClientLag.Round(time.Microsecond), g.Overslept.Round(time.Microsecond), most)
	}
	return nil
}

// Failure is what the server has failed at, nil for nothing.
func (r *Result) Failure() error {
	var errs []error
	check := func(n uint64, what string) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("%d %s", n, what))
		}
	}
	check(r.Defects.Missing, "deliveries are missing")
	check(r.Defects.Again, "deliveries came twice or out of order")
	check(r.Defects.BadIDs, "events had an id that is none or did not rise")
	check(uint64(r.Connections.Cut), "clients were cut")
	check(uint64(r.Connections.Failed), "clients got no stream")
	if s := r.Storm; s != nil && s.CaughtUp == 0 {
		errs = append(errs, fmt.Errorf("not all clients had caught up after %s", r.Scenario.Storm.Limit))
	}
	if len(errs) > 0 && r.Connections.Why != nil {
		errs = append(errs, r.Connections.Why)
	}
	return errors.Join(errs...)
}
