package app

import (
	"context"

	"sluice/functions/access"
	"sluice/functions/publish"
	"sluice/publisher"
)

// publishing is the function publish; without it both are nil.
type publishing struct {
	handler *publish.Handler
	sink    *publish.Sink
}

// producerName is what all processes with the function publish are together among
// the producers: instances come and go.
const producerName = "http"

func (a *app) newPublishing(gate *access.Gate) (err error) {
	s := a.Settings
	a.publish.sink = publish.NewSink(publish.SinkConfig{
		Connect: a.PublishConn,
		Options: publisher.Options{
			APIPrefix: a.APIPrefix, Stream: s.Log.Stream, Create: a.CreateStream, Limits: s.Log.Limits(a.Replicas),
			MaxEventBytes: s.Log.MaxEventBytes, Timeout: s.Publish.MaxWait, Name: producerName, Logger: a.Logger.With("part", "publish"),
		},
		Logger: a.Logger,
	})
	a.publish.handler, err = publish.New(publish.Config{
		Sink: a.publish.sink, Gate: gate,
		MaxEventBytes: s.Log.MaxEventBytes, MaxBodyBytes: s.Publish.MaxBodyBytes,
		Timeout: s.Publish.MaxWait, StallTimeout: s.Client.StallTimeout,
		Origins:       s.Server.CORSOrigins,
		WebhookSecret: s.Publish.WebhookSecret, WebhookTopic: s.Publish.WebhookTopic,
		Logger: a.Logger, Registry: a.metrics,
	})
	return err
}

// run publishes until ctx ends.
func (p *publishing) run(ctx context.Context) error {
	if p.sink == nil {
		return nil
	}
	return p.sink.Run(ctx)
}

// drain ends what would go on for ever.
func (p *publishing) drain() {
	if p.handler != nil {
		p.handler.Drain()
	}
}
