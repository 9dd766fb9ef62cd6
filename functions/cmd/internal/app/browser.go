package app

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"

	"sluice/functions/access"
	"sluice/functions/access/address"
)

const (
	preflightSeconds = 600 // for which a browser remembers what it may send
	// opaque is the origin of a page that has none: of a file, or of a frame in a
	// sandbox, which any page can make (WHATWG HTML, 7.1.1).
	opaque = "null"
	anyone = "*"
)

// allowedHeaders are what pages may send: what the edge reads, and what tracing
// adds to the requests of its page (W3C Trace Context and Baggage, Sentry).
var allowedHeaders = []string{
	"Accept", "Authorization", "Cache-Control", "Content-Type", "Last-Event-ID",
	"Event-Type", "Idempotency-Key", "Traceparent", "Tracestate", "Baggage", "Sentry-Trace",
}

// guarded is next with what browsers are told, and, on a laptop, only for who asks
// for it by its own name.
func (a *app) guarded(next http.Handler, addr net.Addr) http.Handler {
	origins := a.Settings.Server.CORSOrigins
	if a.Laptop {
		origins = append(slices.Clone(origins), ownOrigins(a.Settings.TLS.Scheme(), addr)...)
		next = ownHost(next, a.Settings.Server.Host, addr)
	}
	return noSniffing(withCORS(next, origins))
}

// noSniffing has browsers take each answer for what it says that it is (WHATWG
// Fetch, 3.6).
func noSniffing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// withCORS lets the pages of the origins read the answers (WHATWG Fetch, 3.2).
// Only pages of an origin that is named may send credentials: everybody can be the
// others.
func withCORS(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return next
	}
	handler := func(origins []string, credentials bool) http.Handler {
		return cors.New(cors.Options{
			AllowedOrigins:      origins,
			AllowedMethods:      []string{http.MethodGet, http.MethodHead, http.MethodPost},
			AllowedHeaders:      allowedHeaders,
			ExposedHeaders:      []string{"Retry-After"},
			AllowCredentials:    credentials,
			AllowPrivateNetwork: true,
			MaxAge:              preflightSeconds,
		}).Handler(next)
	}
	if slices.Contains(origins, anyone) {
		return handler(origins, false)
	}
	named := handler(origins, true)
	if !slices.Contains(origins, opaque) {
		return named
	}
	pages := handler([]string{opaque}, false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == opaque {
			pages.ServeHTTP(w, r)
			return
		}
		named.ServeHTTP(w, r)
	})
}

// ownOrigins are those of the process's own pages.
func ownOrigins(scheme string, addr net.Addr) (all []string) {
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		all = append(all, fmt.Sprintf("%s://%s:%d", scheme, host, addr.(*net.TCPAddr).Port))
	}
	return all
}

// ownHost refuses requests for another host than this machine's loopback, as long
// as only that is listened on: a page of another site whose name is made to point
// here (DNS rebinding) is of the same origin for its browser, and no CORS keeps it
// from reading.
func ownHost(next http.Handler, host string, addr net.Addr) http.Handler {
	if !addr.(*net.TCPAddr).IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !isLoopback(r.Host) && !strings.EqualFold(withoutPort(r.Host), host) {
			access.Refuse(http.StatusMisdirectedRequest, access.WrongHost,
				"this process is for this machine alone, ask for localhost; HOST=0.0.0.0 lets others in").Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a Host header names this machine (RFC 6761, 6.3).
func isLoopback(hostport string) bool {
	host := strings.Trim(strings.ToLower(strings.TrimSuffix(withoutPort(hostport), ".")), "[]")
	return address.Loopback(host) || strings.HasSuffix(host, ".localhost")
}

func withoutPort(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
