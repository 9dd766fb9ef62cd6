package app

import (
	"log/slog"
	"net/http"

	"sluice/functions/settings"
)

// NewServer is the server of a process with the settings.
func NewServer(s *settings.Shared, handler http.Handler) *http.Server {
	a := &app{Options: Options{Settings: s, Logger: slog.New(slog.DiscardHandler)}}
	return a.newServer(handler)
}
