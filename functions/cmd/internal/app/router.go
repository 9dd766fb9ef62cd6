package app

import (
	"net"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"sluice/functions/access"
	"sluice/functions/client"
	"sluice/functions/console"
	"sluice/functions/describe"
)

// routes is everything that the process serves on addr, HOST and PORT.
func (a *app) routes(addr net.Addr) http.Handler {
	r := newRouter()
	probes := httprouter.New()
	a.health.Register(probes)
	paths := []string{"/livez", "/readyz"}
	if a.Health {
		paths = append(paths, "/", "/health")
	}
	for _, path := range paths {
		r.Handler(http.MethodGet, path, probes)
		r.Handler(http.MethodHead, path, probes)
	}
	if a.handler != nil {
		streams := a.connections.carry(a.handler)
		r.Handler(http.MethodGet, "/stream", streams)
		r.Handler(http.MethodHead, "/stream", streams)
	}
	if a.publish.handler != nil {
		r.Handler(http.MethodPost, "/publish", a.connections.carry(a.publish.handler))
	}
	if a.Console || a.handler != nil {
		client.Register(r)
	}
	describe.Register(r)
	if a.Console {
		console.Register(r)
	}
	if a.Settings.Server.MetricsAddr == "" {
		r.Handler(http.MethodGet, "/metrics", metricsHandler(a.metrics, a.Logger))
	}
	return a.guarded(r, addr)
}

// newRouter answers what it does not know as the rest of the API does.
func newRouter() *httprouter.Router {
	r := httprouter.New()
	r.RedirectFixedPath = false
	r.NotFound = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		access.Refuse(http.StatusNotFound, access.NotFound, "there is nothing at this path; the events are at /stream").Write(w)
	})
	r.MethodNotAllowed = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allow := w.Header().Get("Allow")
		access.Refuse(http.StatusMethodNotAllowed, access.MethodNotAllowed, "this path allows "+allow).Write(w)
	})
	return r
}
