package streamtest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/stream"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/socket"
	"sluice/functions/stream/sse"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// Options is what an edge is started with.
type Options struct {
	Feed   feed.Config   // Conn, Wire and Logger are set by Start
	Stream stream.Config // Feed, Encoder, Logger and Gate are set by Start
	Access access.Config // Logger and Registry are set by Start
	Listen socket.ListenOptions
	TLS    bool // serve HTTP/1.1 over TLS
}

// Edge is a running edge.
type Edge struct {
	URL     string // http://127.0.0.1:port
	Feed    *feed.Feed
	Handler *stream.Handler
	Conn    *nats.Conn

	tb     testing.TB // nil in a process of its own
	server *http.Server
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	stop   sync.Once
}

// Start starts an edge on the NATS servers at url, creates the stream when
// there is none, and returns when the edge is ready. The edge ends with the
// test.
func Start(tb testing.TB, url string, change ...func(*Options)) *Edge {
	tb.Helper()
	o := Options{Listen: socket.ListenOptions{SendBuffer: 64 << 10}}
	for _, c := range change {
		c(&o)
	}
	logger := slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	e, err := start(tb.Context(), url, o, logger)
	require.NoError(tb, err)
	e.tb = tb
	tb.Cleanup(e.Stop)
	require.NoError(tb, e.waitLoaded())
	return e
}

func start(ctx context.Context, url string, o Options, logger *slog.Logger) (*Edge, error) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.Timeout(5*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { logger.Debug("NATS connection", "err", err) }))
	if err != nil {
		return nil, err
	}
	e := &Edge{Conn: nc}
	if err := e.run(ctx, o, logger); err != nil {
		nc.Close()
		return nil, err
	}
	return e, nil
}

// run ensures the stream and starts what an edge is made of.
func (e *Edge) run(ctx context.Context, o Options, logger *slog.Logger) error {
	js, err := jetstream.New(e.Conn)
	if err != nil {
		return err
	}
	if o.Feed.Stream == "" {
		o.Feed.Stream = event.DefaultStream
	}
	if _, err := event.EnsureStream(ctx, js, event.StreamConfig(o.Feed.Stream, event.StreamLimits{})); err != nil {
		return err
	}
	encoder := sse.NewEncoder(o.Feed.Stream, 5*time.Second, event.DefaultMaxBytes)
	o.Feed.Conn, o.Feed.Wire, o.Feed.Logger = e.Conn, encoder, logger
	if e.Feed, err = feed.New(o.Feed); err != nil {
		return err
	}
	l, err := socket.Listen(ctx, "127.0.0.1:0", o.Listen)
	if err != nil {
		return err
	}
	o.Access.Logger, o.Access.Registry = logger, o.Stream.Registry
	o.Stream.Feed, o.Stream.Encoder, o.Stream.Logger, o.Stream.Gate = e.Feed, encoder, logger, access.NewGate(o.Access)
	e.Handler = stream.New(o.Stream)
	if e.URL = "http://" + l.Addr().String(); o.TLS {
		e.URL = "https://" + l.Addr().String()
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"http/1.1"}})
	}
	e.serve(l)
	feeding, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.tasks.Go(func() { _ = e.Feed.Run(feeding) })
	return nil
}

func (e *Edge) serve(l net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /stream", e.Handler)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	e.server = &http.Server{Handler: mux, Protocols: protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	e.tasks.Go(func() { _ = e.server.Serve(l) })
}

func (e *Edge) waitLoaded() error {
	ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
	defer cancel()
	select {
	case <-e.Feed.Loaded():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown ends the edge as a process does on SIGTERM: clients are drained
// within the given time, then all stops.
func (e *Edge) Shutdown(over, within time.Duration) {
	e.Handler.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	e.Feed.Drain(ctx, over)
	e.Stop()
}

// Stop ends the edge at once; clients see their connections break. It returns
// when all its goroutines have ended; the test fails when they do not.
func (e *Edge) Stop() {
	e.stop.Do(func() {
		e.cancel() // ends all streams
		ctx, cancel := context.WithTimeout(context.Background(), natstest.Patience)
		defer cancel()
		_ = e.server.Shutdown(ctx)
		_ = e.server.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			e.tasks.Wait()
			e.Handler.Wait()
		}()
		select {
		case <-ended:
		case <-ctx.Done():
			if e.tb != nil {
				e.tb.Error("the edge does not end")
			}
		}
		e.Conn.Close()
	})
}
