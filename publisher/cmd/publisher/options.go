package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/functions/settings"
	"sluice/publisher"
	"sluice/publisher/source"
)

// options is how the settings have the events published.
func options(cfg *settings.Publisher, conn *nats.Conn, logger *slog.Logger) publisher.Options {
	return publisher.Options{
		Conn:          conn,
		APIPrefix:     cfg.NATS.APIPrefix(),
		Stream:        cfg.Log.Stream,
		Create:        cfg.NATS.CreateStream,
		Limits:        cfg.Log.Limits(cfg.NATS.Replicas),
		MaxEventBytes: cfg.Log.MaxEventBytes,
		MaxPending:    cfg.Publish.MaxPending,
		Timeout:       cfg.Publish.Timeout,
		AckTimeout:    cfg.Publish.AckTimeout,
		DrainTimeout:  cfg.Publish.DrainTimeout,
		Name:          cfg.ProducerName(),
		Every:         cfg.Publish.Every,
		Logger:        logger,
	}
}

// newSource is where the events of the chosen command come from.
func newSource(ctx context.Context, cfg *settings.Publisher, stdin io.Reader) publisher.Source {
	switch cfg.Command {
	case settings.Demo:
		j := &cfg.Demo
		demo := source.NewDemo(source.DemoOptions{Topic: j.Topic, Type: j.Type, IDs: cfg.IDs()})
		return source.Limit(source.Pace(demo, j.Rate), j.Events(), j.Duration)
	case settings.Host:
		j := &cfg.Host
		host := source.NewHost(ctx, source.HostOptions{
			Topic: j.Topic, Type: j.Type, IDs: cfg.IDs(),
			Samples:  j.Samples(),
			Interval: time.Duration(float64(time.Second) / j.Rate),
		})
		return source.Limit(host, 0, j.Duration)
	default: // Stdin
		j := &cfg.Stdin
		lines := source.NewLines(ctx, stdin, source.LinesOptions{
			Topic: j.Topic, Type: j.Type, IDs: cfg.IDs(), MaxBytes: cfg.Log.MaxEventBytes,
		})
		return source.Limit(source.Pace(lines, j.Rate), j.Lines(), j.Duration)
	}
}
