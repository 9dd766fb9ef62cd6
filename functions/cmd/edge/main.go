// Command edge is the deployable container: streams and health against the
// NATS of NATS_URL. Without a reachable NATS it says so, keeps trying, and is
// live but not ready. It logs to standard error. On SIGTERM, SIGINT or SIGHUP it is
// not ready, sends all clients away for DRAIN_TIMEOUT, and ends about two seconds
// later at most; a second SIGTERM or SIGINT ends it at once.
//
// edge healthcheck asks the edge on PORT of this machine whether it lives: for
// containers, whose image has no other program to ask with. edge token signs a
// token, for trying and for scripts, and edge revoke takes the leave of one, or of
// all of a subject, back.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"

	"sluice/functions/cmd/internal/app"
	"sluice/functions/logging"
	"sluice/functions/settings"
	"sluice/functions/signals"
)

func main() {
	if err := run(signals.Context(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr); err != nil {
		_ = logging.Print(os.Stderr, fmt.Sprintf("edge: %v\n", err))
		os.Exit(1)
	}
}

// run is the whole command. It returns nil when ctx has ended it.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) error {
	cfg, command, done, err := settings.ParseEdge(settings.Source{Args: args, Getenv: getenv, Stdout: stdout})
	if done || err != nil {
		return err
	}
	switch command {
	case settings.CommandHealthcheck:
		return healthcheck(ctx, cfg)
	case settings.CommandToken:
		return signToken(cfg, stdout)
	case settings.CommandRevoke:
		return revoke(ctx, cfg, stdout)
	}
	log, flush := logging.New(stderr, cfg.Server.LogLevel, logging.Auto)
	defer flush()
	conn, err := connect(cfg, "sluice-edge", log)
	if err != nil {
		return err
	}
	defer app.Close(conn)
	return app.Run(ctx, app.Options{
		Settings:     &cfg.Shared,
		Stream:       cfg.Has(settings.FunctionStream),
		Health:       cfg.Has(settings.FunctionHealth),
		Console:      cfg.Has(settings.FunctionConsole),
		Publish:      cfg.Has(settings.FunctionPublish),
		Conn:         conn,
		PublishConn:  func() (*nats.Conn, error) { return connect(cfg, "sluice-edge-publish", log.With("part", "publish")) },
		APIPrefix:    cfg.NATS.APIPrefix(),
		CreateStream: cfg.NATS.CreateStream,
		Replicas:     cfg.NATS.Replicas,
		Logger:       log,
	})
}

// connect returns at once, whether NATS is there or not.
func connect(cfg *settings.Edge, name string, logger *slog.Logger) (*nats.Conn, error) {
	servers := cfg.NATS.Servers()
	options, err := cfg.NATS.Options()
	if err != nil {
		return nil, err
	}
	opts := append(app.ConnectOptions(name, servers, logger), options...)
	conn, err := nats.Connect(cfg.NATS.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("NATS at %s (NATS_URL, NATS_CREDS): %w", servers, err)
	}
	return conn, nil
}
