// Command local is Sluice in one process, for development and for a look at
// it: an embedded NATS server with JetStream, the streams, health, the console,
// metrics and a demo producer. It prints the addresses to open when it is
// ready, logs to standard error, and ends on SIGINT, SIGTERM or SIGHUP as soon as
// its clients have been sent away; a second SIGINT or SIGTERM ends it at once.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"

	"sluice/functions/cmd/internal/app"
	"sluice/functions/logging"
	"sluice/functions/settings"
	"sluice/functions/signals"
	"sluice/natsembed"
)

const embedded = "(embedded)" // where NATS is

func main() {
	if err := run(signals.Context(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr); err != nil {
		_ = logging.Print(os.Stderr, fmt.Sprintf("local: %v\n", err))
		os.Exit(1)
	}
}

// run is the whole command. It returns nil when ctx has ended it.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) error {
	cfg, done, err := settings.ParseLocal(settings.Source{Args: args, Getenv: getenv, Stdout: stdout})
	if done || err != nil {
		return err
	}
	log, flush := logging.New(stderr, cfg.Server.LogLevel, logging.Auto)
	defer flush()
	server, err := natsembed.Start(ctx, natsembed.Options{
		StoreDir: cfg.Embedded.StoreDir, Port: cfg.Embedded.NATSPort, SyncAlways: cfg.Embedded.SyncAlways,
		Password: cfg.Embedded.Password(), Logger: log.With("part", "nats"),
	})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	forget, err := cfg.Embedded.KeepURL(server.URL())
	if err != nil {
		return err
	}
	defer forget()
	conn, err := server.Connect(app.ConnectOptions("sluice-local", embedded, log)...)
	if err != nil {
		return err
	}
	defer app.Close(conn)

	// The producer ends first, so that what it has sent is still told.
	ctx, end := context.WithCancel(ctx)
	var producer sync.WaitGroup
	defer producer.Wait()
	defer end()
	ready := func(addr net.Addr) {
		if cfg.Embedded.Demo {
			producer.Go(func() { produce(ctx, server, &cfg.Log, log) })
		}
		_ = logging.Print(stdout, banner(cfg, addr, server))
	}
	return app.Run(ctx, app.Options{
		Settings: &cfg.Shared,
		Stream:   true, Health: true, Console: true, Publish: true,
		Conn: conn,
		PublishConn: func() (*nats.Conn, error) {
			return server.Connect(app.ConnectOptions("sluice-publish", embedded, log.With("part", "publish"))...)
		},
		CreateStream: true,
		Replicas:     1,
		Laptop:       true,
		Logger:       log,
		Ready:        ready,
	})
}

// banner is what to open.
func banner(cfg *settings.Local, addr net.Addr, server *natsembed.Server) string {
	base := cfg.TLS.Scheme() + "://" + dialable(addr)
	nats := server.URL()
	if nats == "" {
		nats = "inside this process only (NATS_PORT=0)"
	}
	metrics := base + "/metrics"
	if cfg.Server.MetricsAddr != "" {
		metrics = "http://" + cfg.Server.MetricsAddr + "/metrics"
	}
	store, err := filepath.Abs(cfg.Embedded.StoreDir)
	if err != nil {
		store = cfg.Embedded.StoreDir
	}
	if server.SyncsAlways() {
		store += " (each event is on the disk before it is acknowledged)"
	}
	return fmt.Sprintf(`Sluice is ready.

  stream   %[1]s/stream
  console  %[1]s/console
  publish  %[1]s/publish
  health   %[1]s/health
  metrics  %[2]s
  NATS     %[3]s
  files    %[4]s

  curl -N %[1]s/stream
  curl -d '{"order":17}' '%[1]s/publish?topic=order.created'

Ctrl+C ends it.
`, base, metrics, nats, store)
}

// dialable is an address that a browser on this machine can open.
func dialable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}
