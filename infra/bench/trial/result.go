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

	PerSecond     float64 // deliveries, all clients together
	Expected      float64 // deliveries per second that the schedule asks for
	CPU           float64 // server's CPU µs per delivery, NaN if not known
	Cores         float64 // processors that the server kept busy, NaN if not known
	GeneratorCPU  float64 // the fleet's own CPU µs per delivery
	BytesPerEvent float64

	// Lateness of the events of the window, those missing as infinitely late.
	P50, P99, P999, Max time.Duration

	Missing  uint64 // deliveries
	Again    uint64 // deliveries twice or out of order
	BadIDs   uint64
	Cut      int // clients closed by the server
	StuckCut int // stuck clients closed by the server
	Failed   int // clients without a stream
	Why      error

	RSSBefore, RSSIdle, RSSAfter int64 // of the server in bytes, 0 if not known

	ClientLag    time.Duration // the fleet's, 99th percentile
	Overslept    time.Duration // the schedule's, 99th percentile
	PublishDelay time.Duration // the worst delay of a publish, the server's part included

	Storm *StormResult
}

// StormResult is how a storm went.
type StormResult struct {
	Reconnected, CaughtUp time.Duration // of all clients; 0 for never
	P50, P99              time.Duration // of one client, from its connect
	Requests              map[string]int
	Total                 int // requests to NATS
}

// Never is the lateness of what has not come.
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

func (r *Result) latency(h *hdrhistogram.Histogram) {
	r.P50 = Quantile(h, r.Missing, .50)
	r.P99 = Quantile(h, r.Missing, .99)
	r.P999 = Quantile(h, r.Missing, .999)
	r.Max = Quantile(h, r.Missing, 1)
}

func (r *Result) counts(c fleet.Counts) {
	r.Missing, r.Again, r.BadIDs = c.Missing, c.Again, c.BadIDs
	r.Cut, r.StuckCut, r.Failed = c.Cut, c.StuckCut, c.Failed+c.Refused
	r.Why = c.FirstError
}

// fewClients are too few to tell their memory from the server's own.
const fewClients = 100

// PerClient is the server's memory per idle connection, in bytes; NaN if not
// known.
func (r *Result) PerClient() float64 {
	clients := r.Scenario.clients() + r.Scenario.Stuck
	if r.RSSBefore == 0 || clients < fewClients {
		return math.NaN()
	}
	return float64(r.RSSIdle-r.RSSBefore) / float64(clients)
}

// Void is why the result says nothing, nil if it does: the generator was late
// by itself.
func (r *Result) Void() error {
	if most := r.Scenario.MaxLag; max(r.ClientLag, r.Overslept) > most {
		return fmt.Errorf("void: the load generator itself was late (clients %s, schedule %s at the 99th percentile, --max-lag %s): run it on a machine with less to do, or with less load",
			r.ClientLag.Round(time.Microsecond), r.Overslept.Round(time.Microsecond), most)
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
	check(r.Missing, "deliveries are missing")
	check(r.Again, "deliveries came twice or out of order")
	check(r.BadIDs, "events had an id that is none or did not rise")
	check(uint64(r.Cut), "clients were cut")
	check(uint64(r.Failed), "clients got no stream")
	if s := r.Storm; s != nil && s.CaughtUp == 0 {
		errs = append(errs, fmt.Errorf("not all clients had caught up after %s", r.Scenario.Storm.Limit))
	}
	if len(errs) > 0 && r.Why != nil {
		errs = append(errs, r.Why)
	}
	return errors.Join(errs...)
}
