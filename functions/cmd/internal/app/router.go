package app

import (
	"net/http"
	"slices"

	"github.com/julienschmidt/httprouter"
	"github.com/rs/cors"

	"sluice/functions/access"
	"sluice/functions/console"
)

const preflightSeconds = 600 // for which a browser remembers what it may send

// routes is everything that the process serves on PORT.
func (a *app) routes() http.Handler {
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
	if a.Console {
		console.Register(r)
	}
	if a.Settings.Server.MetricsAddr == "" {
		r.Handler(http.MethodGet, "/metrics", metricsHandler(a.metrics, a.Logger))
	}
	return withCORS(r, a.Settings.Server.CORSOrigins)
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

// withCORS lets the pages of the origins read the answers (WHATWG Fetch, 3.2).
// A page may send credentials only where its origin is named.
func withCORS(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins:   origins,
		AllowedMethods:   []string{http.MethodGet, http.MethodHead},
		AllowedHeaders:   []string{"Accept", "Authorization", "Cache-Control", "Last-Event-ID"},
		ExposedHeaders:   []string{"Retry-After"},
		AllowCredentials: !slices.Contains(origins, "*"),
		MaxAge:           preflightSeconds,
	}).Handler(next)
}
