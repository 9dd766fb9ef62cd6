package publisher_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

// TestAStreamThatCannotBeTheLogIsRefusedAtOnce: no time passes in which it could
// get better.
func TestAStreamThatCannotBeTheLogIsRefusedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		told   string
	}{
		{"other subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>"} }, "none is of events.>"},
		{"a work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "limits retention"},
		{"no acknowledgements", func(c *jetstream.StreamConfig) { c.NoAck = true }, "no_ack"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			srv := natstest.Start(t)
			cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{})
			tt.change(&cfg)
			_, err := srv.JetStream(t).CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			_, err = publisher.New(t.Context(), options(t, srv, func(o *publisher.Options) { o.Timeout = time.Hour }))
			assert.ErrorIs(t, err, event.ErrUnfit)
			assert.ErrorContains(t, err, tt.told)
			assert.ErrorContains(t, err, "STREAM")
		})
	}
}
