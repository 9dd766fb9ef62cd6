// Package metrics is what the rooms of the feed count. None has a label that a
// client or a publisher can choose. Every method is safe for concurrent use and
// never blocks.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/stream/feed/wire"
)

// Metrics are one feed's.
type Metrics struct {
	Events   prometheus.Counter     // read from the log
	Sent     prometheus.Counter     // written to clients
	Latency  prometheus.Histogram   // from store to fan-out, in seconds
	Restarts prometheus.Counter     // of the reader
	Chunks   prometheus.Counter     // of replays
	Resumes  *prometheus.CounterVec // by how a connection began
	Ends     *prometheus.CounterVec // of connections, by reason
	flaws    *prometheus.CounterVec
	gaps     *prometheus.CounterVec
}

// New makes a feed's metrics and registers them.
func New(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		Events: counter("sse_feed_events_total", "Events read from the log."),
		Sent:   counter("sse_events_sent_total", "Events written to clients."),
		Latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sse_event_latency_seconds", Help: "From an event's store time to its fan-out.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		Restarts: counter("sse_feed_restarts_total", "Restarts of the feed's reader."),
		Chunks:   counter("sse_replay_chunks_total", "Replay chunks fetched from JetStream."),
		Resumes:  vec("sse_resumes_total", "How connections began.", "resumed"),
		Ends:     vec("sse_connections_ended_total", "Ended connections by reason.", "reason"),
		flaws:    vec("sse_flawed_events_total", "Events told in another form because their publisher broke the contract.", "flaw"),
		gaps:     vec("sse_gaps_total", "Gaps told to live clients or at a resume.", "reason"),
	}
	reg.MustRegister(m.Events, m.Sent, m.Latency, m.flaws, m.gaps, m.Restarts, m.Chunks, m.Resumes, m.Ends)
	return m
}

// Gap counts a gap.
func (m *Metrics) Gap(reason wire.Reason) { m.gaps.WithLabelValues(string(reason)).Inc() }

// NoTopic counts an event whose subject is outside the topic grammar.
func (m *Metrics) NoTopic() { m.flaws.WithLabelValues("topic").Inc() }

// Flaw counts what had to be mended in an event.
func (m *Metrics) Flaw(flaw wire.Flaw) {
	if flaw == 0 {
		return
	}
	for bit, name := range map[wire.Flaw]string{wire.FlawType: "type", wire.FlawUTF8: "utf8", wire.FlawSize: "size"} {
		if flaw&bit != 0 {
			m.flaws.WithLabelValues(name).Inc()
		}
	}
}
