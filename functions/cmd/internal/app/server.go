package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"sluice/functions/logging"
	"sluice/functions/stream/socket"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute // of a connection between two requests
	maxHeaderBytes    = 64 << 10
	// answerTimeout is how long the client may take for an answer that is no
	// stream, from its request on.
	answerTimeout = 30 * time.Second
	// deadAfterStalls is after how many STALL_TIMEOUT the kernel gives up a
	// client that acknowledges nothing. With one it could be sooner than the
	// write's own deadline, and a stalled client would be told as gone.
	deadAfterStalls = 2
	// An HTTP/2 connection without traffic is asked for a sign of life, and
	// closed without one.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// listen listens for clients on HOST and PORT.
func (a *app) listen(ctx context.Context) (net.Listener, error) {
	s := a.Settings
	l, err := socket.Listen(ctx, s.Server.Addr(), socket.ListenOptions{
		SendBuffer: s.Client.SendBuffer, UserTimeout: deadAfterStalls * s.Client.StallTimeout,
	})
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d (PORT) of %s (HOST) is in use by another process: end it, or set another PORT", s.Server.Port, s.Server.Host)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %d (PORT): this user may not listen there, set a PORT from 1024: %w", s.Server.Port, err)
	case err != nil:
		return nil, fmt.Errorf("listen on HOST %s and PORT %d: %w", s.Server.Host, s.Server.Port, err)
	}
	return proxied(l, &s.Access.Proxies)
}

// listenMetrics listens on METRICS_ADDR; nil when there is none.
func (a *app) listenMetrics(ctx context.Context) (net.Listener, error) {
	addr := a.Settings.Server.MetricsAddr
	if addr == "" {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("METRICS_ADDR %s: set another address: %w", addr, err)
	}
	return l, nil
}

// newServer serves HTTP/1 and HTTP/2 in clear text. A stream outlives the
// WriteTimeout, because its handler sets a deadline of its own for each write.
func (a *app) newServer(handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      answerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          logging.Lines(a.Logger),
		Protocols:         new(http.Protocols),
		// The router answers OPTIONS * too, without waiting for its body.
		DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: a.Settings.Limits.PerConnection,
			SendPingTimeout:      pingAfter,
			PingTimeout:          pingTimeout,
			WriteByteTimeout:     a.Settings.Client.StallTimeout,
		},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	a.connections.watch(srv)
	return srv
}

// newMetricsServer serves /metrics alone.
func (a *app) newMetricsServer() *http.Server {
	r := newRouter()
	r.Handler(http.MethodGet, "/metrics", metricsHandler(a.metrics, a.Logger))
	return a.newServer(noSniffing(r))
}

// serve returns when the server is closed; its error is why it failed.
func serve(srv *http.Server, l net.Listener) error {
	run := srv.Serve
	if srv.TLSConfig != nil {
		run = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	if err := run(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}
