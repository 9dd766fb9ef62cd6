package source

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"sluice/publisher"
)

// DemoOptions is how Demo's events look.
type DemoOptions struct {
	// Topic gets every event; with "" each goes to a topic of its kind, such
	// as metric.cpu_usage, log.error or alert.disk.
	Topic string
	// Type is the type of every event.
	Type string
	IDs  IDs
}

// Demo invents metrics, logs and alerts without end. With IDs.Job its events
// are the same in every run.
type Demo struct {
	opts DemoOptions
	rand *rand.Rand
	n    uint64
}

// NewDemo returns a source of invented events.
func NewDemo(opts DemoOptions) *Demo {
	seed := rand.Uint64()
	if opts.IDs.Job != "" {
		h := fnv.New64a()
		h.Write([]byte(opts.IDs.Job))
		seed = h.Sum64()
	}
	return &Demo{opts: opts, rand: rand.New(rand.NewPCG(seed, 0))}
}

// payload is an event of Demo or Host. Level and Message are a log's, Severity
// and Message an alert's.
type payload struct {
	Type     string   `json:"type"`
	Name     string   `json:"name,omitempty"`
	Value    *float64 `json:"value,omitempty"`
	Unit     string   `json:"unit,omitempty"`
	Host     string   `json:"host,omitempty"`
	Level    string   `json:"level,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Message  string   `json:"message,omitempty"`
}

// The invented metrics with their range, and what the machine says.
var (
	demoMetrics = []struct {
		name      string
		low, high float64
	}{
		{"cpu_usage", 5, 95},
		{"memory_usage", 30, 90},
		{"disk_usage", 40, 95},
		{"network_in", 0, 1000},
		{"requests_per_second", 50, 5000},
		{"response_time", 1, 250},
	}
	demoLogs = []struct{ level, message string }{
		{"info", "User logged in"},
		{"info", "Cache refreshed"},
		{"info", "Order placed"},
		{"warning", "Slow query"},
		{"warning", "Retrying upstream request"},
		{"error", "Connection refused by upstream"},
		{"error", "Payment declined"},
	}
	demoAlerts = []struct{ name, severity, message string }{
		{"disk", "critical", "Disk usage above 90 %"},
		{"memory", "warning", "Memory usage above 80 %"},
		{"cpu", "warning", "CPU usage above 90 % for five minutes"},
		{"latency", "critical", "Response time above its objective"},
	}
)

// Next never blocks: out of ten events six are metrics, three logs, one an
// alert.
func (d *Demo) Next(ctx context.Context) (publisher.Event, error) {
	if err := ctx.Err(); err != nil {
		return publisher.Event{}, err
	}
	var topic string
	var p payload
	switch kind := d.rand.IntN(10); {
	case kind < 6:
		m := demoMetrics[d.rand.IntN(len(demoMetrics))]
		value := round(m.low+d.rand.Float64()*(m.high-m.low), 1)
		topic, p = "metric."+m.name, payload{Type: "metric", Name: m.name, Value: &value}
	case kind < 9:
		l := demoLogs[d.rand.IntN(len(demoLogs))]
		topic, p = "log."+l.level, payload{Type: "log", Level: l.level, Message: l.message}
	default:
		a := demoAlerts[d.rand.IntN(len(demoAlerts))]
		topic, p = "alert."+a.name, payload{Type: "alert", Name: a.name, Severity: a.severity, Message: a.message}
	}
	d.n++
	e := publisher.Event{Topic: cmp.Or(d.opts.Topic, topic), Type: d.opts.Type}
	var err error
	if e.Data, err = json.Marshal(p); err != nil {
		return publisher.Event{}, err
	}
	e.MsgID, err = d.opts.IDs.For(d.n, e)
	return e, err
}

// round keeps digits decimal places.
func round(v float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(v*unit) / unit
}
