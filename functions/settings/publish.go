package settings

import (
	"time"

	"sluice/functions/publish"
	"sluice/publisher/event"
)

// Publish is how events come in over HTTP.
type Publish struct {
	Open          bool          `name:"publish-open" env:"PUBLISH_OPEN" default:"false" negatable:"" help:"Let everybody publish where AUTH is none; else only programs on this machine may."`
	MaxWait       time.Duration `name:"max-publish-wait" env:"MAX_PUBLISH_WAIT" default:"20s" help:"How long the log may acknowledge nothing before a request is told so."`
	MaxBodyBytes  int           `name:"max-body-bytes" env:"MAX_BODY_BYTES" default:"1048576" help:"Largest body of a request to publish, in bytes; lines (NDJSON) may be any number."`
	Rate          int           `name:"max-publish-rate" env:"MAX_PUBLISH_RATE" default:"10000" help:"Events a second from one subject, or one address without tokens, ten seconds' worth of them at once; lines are read no faster; 0 for no limit."`
	WebhookSecret string        `name:"webhook-secret" env:"WEBHOOK_SECRET" placeholder:"SECRET" help:"Secret of webhooks that are signed as in Standard Webhooks, such as whsec_…; empty for none."`
	WebhookTopic  string        `name:"webhook-topic" env:"WEBHOOK_TOPIC" default:"webhook" help:"Topic of signed webhooks."`
}

// minPublishWait is enough for one acknowledgement.
const minPublishWait = time.Second

func (p *Publish) validate(c *checks) {
	atLeast(c, "MAX_PUBLISH_WAIT", p.MaxWait, minPublishWait)
	atLeast(c, "MAX_BODY_BYTES", p.MaxBodyBytes, 1)
	atLeast(c, "MAX_PUBLISH_RATE", p.Rate, 0)
	if p.WebhookSecret != "" {
		_, err := publish.NewWebhook(p.WebhookSecret)
		c.none("WEBHOOK_SECRET", err)
	}
	c.none("WEBHOOK_TOPIC", event.CheckTopic(p.WebhookTopic))
}
