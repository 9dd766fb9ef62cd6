package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Messages are all that a stream holds now, in its order.
func Messages(tb testing.TB, js jetstream.JetStream, stream string) []jetstream.Msg {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	require.NoError(tb, err)
	left := s.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	require.NoError(tb, err)
	// A new leader may lose the first request: it is sent anew after a second.
	iter, err := c.Messages(jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	require.NoError(tb, err)
	defer iter.Stop()
	var all []jetstream.Msg
	for ; left > 0; left-- {
		m, err := iter.Next(jetstream.NextContext(ctx))
		require.NoError(tb, err)
		all = append(all, m)
	}
	return all
}
