package report_test

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/report"
	"sluice/infra/bench/trial"
)

const ms = time.Millisecond

// result is a trial with the figure n everywhere.
func result(server string, rate, n float64) trial.Result {
	return trial.Result{
		Server: server, Scenario: trial.Scenario{Name: "1000 × 100/s", Clients: 1000, MaxLag: ms},
		Throughput: trial.Throughput{PerSecond: rate * n, Expected: rate},
		CPU:        trial.CPU{PerDelivery: n, Cores: n},
		Latency:    trial.Latency{P50: time.Duration(n) * ms, P99: time.Duration(2*n) * ms, P999: time.Duration(3*n) * ms, Max: time.Duration(4*n) * ms},
		Memory:     trial.Memory{Before: 1 << 20, Idle: 1<<20 + int64(n)*1000*1024},
	}
}

func TestSummaryIsTheMedianOfTheRunsThatCount(t *testing.T) {
	void := result("Sluice", 1000, 100)
	void.Generator.ClientLag = time.Second
	row := report.Summarize([]trial.Result{result("Sluice", 1000, 5), void, result("Sluice", 1000, 1), result("Sluice", 1000, 3)})
	assert.Equal(t, 3, row.Runs)
	assert.Equal(t, 1, row.Void)
	assert.Equal(t, 3., row.CPU)
	assert.Equal(t, 6*ms, row.Latency.P99)
	assert.Equal(t, 3000., row.PerSecond)
	assert.Equal(t, 3.*1024, row.PerClient)
	assert.Nil(t, row.Storm)

	none := report.Summarize([]trial.Result{void})
	assert.Zero(t, none.Runs)
	assert.Equal(t, report.Row{}, report.Summarize(nil))
}

func rows() []report.Row {
	a := report.Summarize([]trial.Result{result("Sluice", 1_000_000, 4)})
	b := report.Summarize([]trial.Result{result("Nchan", 1_000_000, 8)})
	b.Latency.P999, b.Latency.Max, b.Missing = trial.Never, trial.Never, 12345
	return []report.Row{a, b}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	require.NoError(t, report.Markdown(&b, rows()))
	lines := strings.Split(b.String(), "\n")
	assert.Equal(t, "| 1000 × 100/s | Sluice | 4,000,000 | 4.00 µs | 4.00 ms | 8.00 ms | 12 ms | 16 ms | 0 | 0 | 4.0 KiB |", lines[2])
	assert.Equal(t, "| 1000 × 100/s | Nchan | 8,000,000 | 8.00 µs | 8.00 ms | 16 ms | never | never | 12,345 | 0 | 8.0 KiB |", lines[3])
	assert.Equal(t, strings.Count(lines[0], "|"), strings.Count(lines[2], "|"))
	assert.Contains(t, b.String(), "Sluice to Nchan: CPU per delivery × 0.50, deliveries/s × 0.50, p99 8.00 ms to 16 ms")
}

func TestVoidAndUnknownFiguresAreNotNumbers(t *testing.T) {
	void := result("Sluice", 1, 1)
	void.Generator.Overslept = time.Second
	unknown := result("Sluice", 1, 1)
	unknown.CPU.PerDelivery, unknown.Memory.Before = math.NaN(), 0
	var b strings.Builder
	require.NoError(t, report.Text(&b, []report.Row{report.Summarize([]trial.Result{void}), report.Summarize([]trial.Result{unknown})}))
	assert.Contains(t, b.String(), "void")
	assert.Contains(t, b.String(), "1 of 1 runs do not count")
	assert.Contains(t, b.String(), "–")
	assert.NotContains(t, b.String(), "NaN")
	assert.Equal(t, "–", report.Bytes(math.NaN()))
}

func TestStormIsReported(t *testing.T) {
	r := result("Sluice", 10, 1)
	r.Storm = &trial.StormResult{Reconnected: 2 * time.Second, P99: 3 * time.Second, Requests: map[string]int{"STREAM.INFO": 2, "CONSUMER.CREATE": 1}, Total: 3}
	line := report.Line(&r)
	assert.Contains(t, line, "all connected after 2.0 s, all caught up after never")
	assert.Contains(t, line, "3 requests to NATS (CONSUMER.CREATE 1, STREAM.INFO 2)")
	var b strings.Builder
	require.NoError(t, report.Markdown(&b, []report.Row{report.Summarize([]trial.Result{r})}))
	assert.Contains(t, b.String(), "all caught up after never")
}

func TestSVGHasACurvePerServerAndPercentile(t *testing.T) {
	var all []report.Row
	for _, server := range []string{"Sluice", "<Nchan>"} {
		for _, rate := range []float64{1000, 30_000, 1_000_000} {
			all = append(all, report.Summarize([]trial.Result{result(server, rate, 2)}))
		}
	}
	all[5].Latency.P999 = trial.Never
	for name, rows := range map[string][]report.Row{"sweep": all, "one point": all[:1], "nothing": nil, "void": {{}}} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			require.NoError(t, report.SVG(&b, rows))
			points := map[string]int{}
			d := xml.NewDecoder(strings.NewReader(b.String()))
			for {
				token, err := d.Token()
				if err == io.EOF {
					break
				}
				require.NoError(t, err, "well-formed")
				if e, ok := token.(xml.StartElement); ok {
					points[e.Name.Local]++
				}
			}
			assert.Equal(t, 1, points["svg"])
			assert.NotContains(t, b.String(), "NaN")
			assert.NotContains(t, b.String(), "Inf")
			if name == "sweep" {
				assert.Equal(t, 6, points["polyline"])
				assert.Equal(t, 6*3-1, points["circle"], "a lost percentile has no point")
			}
		})
	}
}

func TestTimesAndSizes(t *testing.T) {
	for want, d := range map[string]time.Duration{"0.50 ms": ms / 2, "12 ms": 12 * ms, "1.5 s": 1500 * ms, "never": trial.Never} {
		assert.Equal(t, want, report.Time(d))
	}
	assert.Equal(t, "2.5 KiB", report.Bytes(2560))
	assert.Equal(t, "3.0 MiB", report.Bytes(3<<20))
}
