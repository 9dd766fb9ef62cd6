package feed

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/stream/sse"
)

// metrics are the feed's own; none has a label that a client or a publisher
// can choose.
type metrics struct {
	events   prometheus.Counter
	sent     prometheus.Counter
	latency  prometheus.Histogram
	flaws    *prometheus.CounterVec
	gaps     *prometheus.CounterVec
	restarts prometheus.Counter
	chunks   prometheus.Counter
	resumes  *prometheus.CounterVec
	ends     *prometheus.CounterVec
}

func newMetrics(f *Feed, reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		events: counter("sse_feed_events_total", "Events read from the log."),
		sent:   counter("sse_events_sent_total", "Events written to clients."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sse_event_latency_seconds", Help: "From an event's store time to its fan-out.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		flaws:    vec("sse_flawed_events_total", "Events told in another form because their publisher broke the contract.", "flaw"),
		gaps:     vec("sse_gaps_total", "Gaps told to live clients or at a resume.", "reason"),
		restarts: counter("sse_feed_restarts_total", "Restarts of the feed's reader."),
		chunks:   counter("sse_replay_chunks_total", "Replay chunks fetched from JetStream."),
		resumes:  vec("sse_resumes_total", "How connections began.", "resumed"),
		ends:     vec("sse_connections_ended_total", "Ended connections by reason.", "reason"),
	}
	gauge := func(name, help string, v func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, v)
	}
	reg.MustRegister(m.events, m.sent, m.latency, m.flaws, m.gaps, m.restarts, m.chunks, m.resumes, m.ends,
		gauge("sse_connected_clients", "Open streams of this instance.", func() float64 { return float64(f.Count()) }),
		gauge("sse_feed_lag_events", "Events the feed is behind the log.", func() float64 { return float64(f.Status().Lag) }),
		gauge("sse_feed_position", "Sequence up to which the feed has read.", func() float64 { return float64(f.Status().Position.Seq) }),
	)
	return m
}

func (m *metrics) flawed(flaw sse.Flaw) {
	if flaw == 0 {
		return
	}
	for bit, name := range map[sse.Flaw]string{sse.FlawType: "type", sse.FlawUTF8: "utf8", sse.FlawSize: "size"} {
		if flaw&bit != 0 {
			m.flaws.WithLabelValues(name).Inc()
		}
	}
}
