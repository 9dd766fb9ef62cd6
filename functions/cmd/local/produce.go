package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/functions/cmd/internal/app"
	"sluice/functions/settings"
	"sluice/natsembed"
	"sluice/publisher"
	"sluice/publisher/source"
)

const (
	demoRate  = 3               // events a second
	demoPause = 2 * time.Second // before the producer starts anew
)

// produce publishes invented events until ctx ends, over every failure.
func produce(ctx context.Context, server *natsembed.Server, events *settings.Log, logger *slog.Logger) {
	logger = logger.With("part", "demo")
	for ctx.Err() == nil {
		// A publisher wants a connection of its own.
		conn, err := server.Connect(app.ConnectOptions("sluice-demo", embedded, logger)...)
		if err == nil {
			err = publish(ctx, conn, events, logger)
			app.Close(conn)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		logger.Warn("the demo producer starts anew", "err", err, "wait", demoPause)
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
		}
	}
}

func publish(ctx context.Context, conn *nats.Conn, events *settings.Log, logger *slog.Logger) error {
	p, err := publisher.New(ctx, publisher.Options{
		Conn: conn, Stream: events.Stream, Create: true, Limits: events.Limits(1), MaxEventBytes: events.MaxEventBytes, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = publisher.Run(ctx, p, source.Pace(source.NewDemo(source.DemoOptions{}), demoRate))
	return err
}
