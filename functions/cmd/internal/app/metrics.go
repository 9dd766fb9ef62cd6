package app

import (
	"log/slog"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const maxScrapes = 4 // at once

// newRegistry has what every process tells of itself; the feed adds its own.
func newRegistry(conn *nats.Conn) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sse_nats_connected", Help: "1 while the connection to NATS is up."}, func() float64 {
			if conn.IsConnected() {
				return 1
			}
			return 0
		}),
	)
	return r
}

func metricsHandler(r *prometheus.Registry, logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		Registry:            r,
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: maxScrapes,
	})
}
