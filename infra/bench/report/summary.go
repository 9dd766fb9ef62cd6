// Package report turns the results of trials into what people read: lines as
// they come, a table in Markdown, a picture in SVG. Where a scenario was run
// several times it shows the median of each figure.
package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"sluice/infra/bench/trial"
)

// Row is the medians of one server's trials of one scenario.
type Row struct {
	Server, Scenario string
	Runs             int // that count
	Void             int // that do not
	PerSecond        float64
	Expected         float64
	CPU              float64       // µs per delivery
	Latency          trial.Latency // each figure's median
	Missing          float64
	Cut              float64
	PerClient        float64 // bytes
	Storm            *StormRow
}

// StormRow is the medians of storms.
type StormRow struct {
	Reconnected, CaughtUp time.Duration
	P50, P99              time.Duration
	Requests              float64
}

// Summarize takes the trials of one server under one scenario; void ones do
// not count.
func Summarize(results []trial.Result) (row Row) {
	if len(results) == 0 {
		return row
	}
	row.Server, row.Scenario = results[0].Server, results[0].Scenario.Name
	var good []trial.Result
	for _, r := range results {
		if r.Void() == nil {
			good = append(good, r)
		}
	}
	row.Runs, row.Void = len(good), len(results)-len(good)
	row.PerSecond = median(good, func(r *trial.Result) float64 { return r.Throughput.PerSecond })
	row.Expected = median(good, func(r *trial.Result) float64 { return r.Throughput.Expected })
	row.CPU = median(good, func(r *trial.Result) float64 { return r.CPU.PerDelivery })
	row.Latency = trial.Latency{
		P50:  median(good, func(r *trial.Result) time.Duration { return r.Latency.P50 }),
		P99:  median(good, func(r *trial.Result) time.Duration { return r.Latency.P99 }),
		P999: median(good, func(r *trial.Result) time.Duration { return r.Latency.P999 }),
		Max:  median(good, func(r *trial.Result) time.Duration { return r.Latency.Max }),
	}
	row.Missing = median(good, func(r *trial.Result) float64 { return float64(r.Defects.Missing + r.Defects.Again) })
	row.Cut = median(good, func(r *trial.Result) float64 { return float64(r.Connections.Cut + r.Connections.Failed) })
	row.PerClient = median(good, (*trial.Result).PerClient)
	row.Storm = storms(good)
	return row
}

func storms(results []trial.Result) *StormRow {
	if len(results) == 0 || results[0].Storm == nil {
		return nil
	}
	return &StormRow{
		Reconnected: median(results, func(r *trial.Result) time.Duration { return never(r.Storm.Reconnected) }),
		CaughtUp:    median(results, func(r *trial.Result) time.Duration { return never(r.Storm.CaughtUp) }),
		P50:         median(results, func(r *trial.Result) time.Duration { return r.Storm.P50 }),
		P99:         median(results, func(r *trial.Result) time.Duration { return r.Storm.P99 }),
		Requests:    median(results, func(r *trial.Result) float64 { return float64(r.Storm.Total) }),
	}
}

func never(d time.Duration) time.Duration {
	if d == 0 {
		return trial.Never
	}
	return d
}

// median is the middle one; of an even number, the lower of the two; zero of
// none.
func median[T cmp.Ordered](results []trial.Result, of func(*trial.Result) T) T {
	var values []T
	for i := range results {
		values = append(values, of(&results[i]))
	}
	if len(values) == 0 {
		return *new(T)
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// Ratio is a figure of one server over that of another, NaN without either.
func Ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}
