package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/functions/access"
	"sluice/functions/logging"
)

const (
	maxScrapes = 4               // at once
	scrapeWait = 5 * time.Second // for one of these places
)

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

// metricsHandler renders the metrics, few at a time, and gives the place back
// before the client is written to: one that does not read keeps none from another.
// Who finds no place waits for one.
func metricsHandler(r *prometheus.Registry, logger *slog.Logger) http.Handler {
	render := promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, ErrorLog: logging.Lines(logger)})
	places := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeWait)
		defer cancel()
		page := rendered{header: w.Header(), status: http.StatusOK}
		select {
		case places <- struct{}{}:
			render.ServeHTTP(&page, r)
			<-places
		case <-ctx.Done():
			access.Later(access.TooManyScrapes, "too many scrapes at once; try again later", scrapeWait).Write(w)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(page.body.Len()))
		w.WriteHeader(page.status)
		_, _ = w.Write(page.body.Bytes()) // who asked may be gone
	})
}

// rendered is an answer in memory.
type rendered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *rendered) Header() http.Header         { return r.header }
func (r *rendered) WriteHeader(status int)      { r.status = status }
func (r *rendered) Write(p []byte) (int, error) { return r.body.Write(p) }
