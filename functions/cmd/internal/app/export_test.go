package app

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/settings"
)

// NewServer is the server of a process with the settings, and what is around its
// handlers of streams.
func NewServer(s *settings.Shared, handler func(streams func(http.Handler) http.Handler) http.Handler) *http.Server {
	a := &app{
		Options:     Options{Settings: s, Logger: slog.New(slog.DiscardHandler)},
		connections: newConnections(s.Server.MaxConnections, s.Limits.TCP, func() int { return 0 }, prometheus.NewRegistry()),
	}
	return a.newServer(handler(a.connections.carry))
}
