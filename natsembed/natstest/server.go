package natstest

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
)

// Option changes what a server is started with.
type Option func(*natsembed.Options)

// Server is a NATS server of a test. Its methods are for one goroutine.
type Server struct {
	tb    testing.TB
	opts  natsembed.Options
	run   *natsembed.Server // nil while stopped
	conns []*nats.Conn      // what Connect gave
}

// Start starts a server with an empty store that ends with the test. What it
// warns of is in the test's output.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: natsembed.Options{
		Name:     "natstest",
		StoreDir: tb.TempDir(),
		Logger:   testLog(tb),
	}}
	for _, opt := range opts {
		opt(&s.opts)
	}
	fixed := s.opts.Port != 0
	for try := 1; ; try++ {
		if !fixed {
			s.opts.Port = Ports(tb, 1)[0]
		}
		run, err := natsembed.Start(tb.Context(), s.opts)
		if err == nil {
			s.run = run
			break
		}
		if fixed || try == startTries {
			require.NoError(tb, err)
		}
	}
	tb.Cleanup(s.Stop)
	return s
}

func testLog(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// URL is where clients connect, the same after a restart.
func (s *Server) URL() string {
	s.tb.Helper()
	return s.Embedded().URL()
}

// Embedded is the server as it runs now; the test fails when it is stopped.
func (s *Server) Embedded() *natsembed.Server {
	s.tb.Helper()
	require.NotNil(s.tb, s.run, "the NATS server is stopped")
	return s.run
}

// Connect is a connection that reconnects for ever and is closed at the end of
// the test.
func (s *Server) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc := connect(tb, s.URL(), opts)
	s.conns = append(s.conns, nc)
	return nc
}

// JetStream is JetStream on a connection of its own.
func (s *Server) JetStream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, s.Connect(tb))
}

// Stop ends the server in good order and keeps its port and its store. It
// returns when all connections of Connect have noticed: one that has not would
// lose the next request. A stopped server stays stopped.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.run == nil {
		return
	}
	url := s.run.URL()
	s.run.Shutdown()
	s.run = nil
	for _, nc := range s.conns {
		require.Eventually(s.tb, func() bool { return !nc.IsConnected() || nc.ConnectedUrl() != url },
			Patience, pollFor, "a connection does not notice that its server is gone")
	}
}

// Restart stops the server, if it runs, and starts it again on its port and
// its store.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	run, err := natsembed.Start(s.tb.Context(), s.opts)
	require.NoError(s.tb, err)
	s.run = run
}
