package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/infra/bench/trial"
)

// Line is one result on one line.
func Line(r *trial.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s/s of %s | CPU %s µs/delivery, %s cores | p50 %s p99 %s p99.9 %s max %s",
		r.Scenario.Name, r.Server, count(r.Throughput.PerSecond), count(r.Throughput.Expected),
		number(r.CPU.PerDelivery, 2), number(r.CPU.Cores, 2),
		Time(r.Latency.P50), Time(r.Latency.P99), Time(r.Latency.P999), Time(r.Latency.Max))
	fmt.Fprintf(&b, " | missing %d again %d cut %d", r.Defects.Missing, r.Defects.Again, r.Connections.Cut)
	if r.Scenario.Stuck > 0 {
		fmt.Fprintf(&b, " stuck cut %d of %d", r.Connections.StuckCut, r.Scenario.Stuck)
	}
	fmt.Fprintf(&b, " | memory %s per client, %s after | generator %s µs/delivery, lag %s, publisher %s late at most",
		Bytes(r.PerClient()), Bytes(float64(r.Memory.After)), number(r.Generator.CPU, 2),
		Time(max(r.Generator.ClientLag, r.Generator.Overslept)), Time(r.Generator.PublishDelay))
	if s := r.Storm; s != nil {
		fmt.Fprintf(&b, "\n       storm: all connected after %s, all caught up after %s; one client p50 %s p99 %s; %d requests to NATS%s",
			Time(never(s.Reconnected)), Time(never(s.CaughtUp)), Time(s.P50), Time(s.P99), s.Total, kinds(s.Requests))
	}
	return b.String()
}

func kinds(requests map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(requests)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, requests[k]))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Text writes the rows in columns, and how two servers under the same load
// compare.
func Text(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "load\tserver\truns\tdeliveries/s\tCPU µs\tp50\tp99\tp99.9\tmax\tmissing\tcut\tmemory/client\t")
	for i := range rows {
		r := &rows[i]
		if r.Runs == 0 {
			fmt.Fprintf(table, "%s\t%s\tvoid\t\t\t\t\t\t\t\t\t\t\n", r.Scenario, r.Server)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Scenario, r.Server, r.Runs,
			count(r.PerSecond), number(r.CPU, 2),
			Time(r.Latency.P50), Time(r.Latency.P99), Time(r.Latency.P999), Time(r.Latency.Max),
			count(r.Missing), count(r.Cut), Bytes(r.PerClient))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, notes(rows))
	return err
}

// Markdown writes the rows as a table, and for each scenario with two servers
// the ratio of the first to the second.
func Markdown(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("| load | server | deliveries/s | CPU per delivery | p50 | p99 | p99.9 | max | missing | cut | memory per client |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range rows {
		r := &rows[i]
		if r.Runs == 0 {
			fmt.Fprintf(&b, "| %s | %s | void | | | | | | | | |\n", r.Scenario, r.Server)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s µs | %s | %s | %s | %s | %s | %s | %s |\n", r.Scenario, r.Server,
			count(r.PerSecond), number(r.CPU, 2),
			Time(r.Latency.P50), Time(r.Latency.P99), Time(r.Latency.P999), Time(r.Latency.Max),
			count(r.Missing), count(r.Cut), Bytes(r.PerClient))
	}
	b.WriteString(notes(rows))
	_, err := io.WriteString(w, b.String())
	return err
}

// notes are sentences on void runs, storms and comparisons.
func notes(rows []Row) string {
	var b strings.Builder
	for i := range rows {
		r := &rows[i]
		if r.Void > 0 {
			fmt.Fprintf(&b, "\n%s, %s: %d of %d runs do not count, because the load generator itself was late.\n",
				r.Scenario, r.Server, r.Void, r.Void+r.Runs)
		}
		if s := r.Storm; s != nil && r.Runs > 0 {
			fmt.Fprintf(&b, "\n%s, %s: all connected again after %s, all caught up after %s (one client: p50 %s, p99 %s), %s requests to NATS.\n",
				r.Scenario, r.Server, Time(s.Reconnected), Time(s.CaughtUp), Time(s.P50), Time(s.P99), count(s.Requests))
		}
		if i > 0 && r.Scenario == rows[i-1].Scenario && r.Runs > 0 && rows[i-1].Runs > 0 {
			b.WriteString("\n" + Compare(&rows[i-1], r) + "\n")
		}
	}
	return b.String()
}

// Compare compares a with b in one sentence.
func Compare(a, b *Row) string {
	return fmt.Sprintf("%s: %s to %s: CPU per delivery × %s, deliveries/s × %s, p99 %s to %s, memory per client × %s (medians of %d and %d runs).",
		a.Scenario, a.Server, b.Server, number(Ratio(a.CPU, b.CPU), 2), number(Ratio(a.PerSecond, b.PerSecond), 2),
		Time(a.Latency.P99), Time(b.Latency.P99), number(Ratio(a.PerClient, b.PerClient), 2), a.Runs, b.Runs)
}

// Time is a duration in milliseconds, or seconds where there are many.
func Time(d time.Duration) string {
	switch ms := float64(d) / 1e6; {
	case d == trial.Never:
		return "never"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}

// Bytes is a size in KiB or MiB.
func Bytes(n float64) string {
	switch {
	case math.IsNaN(n):
		return "–"
	case math.Abs(n) < 1<<20:
		return fmt.Sprintf("%.1f KiB", n/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	}
}

func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// count is a whole number with its thousands apart.
func count(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
