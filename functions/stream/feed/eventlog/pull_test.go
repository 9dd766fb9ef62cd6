package eventlog_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestPullEndsWhereItsBytesDo: the server ends a request without a word when
// its bytes are used up to the last one.
func TestPullEndsWhereItsBytesDo(t *testing.T) {
	natstest.CheckGoroutines(t)
	ns := natstest.Start(t)
	js := ns.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	for range 10 {
		_, err := js.Publish(t.Context(), "events.a", []byte("1"))
		require.NoError(t, err)
	}
	l, err := eventlog.New(ns.Connect(t), "", event.DefaultStream, "test")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	consumer := func() *eventlog.Consumer {
		c, err := l.Consume(ctx, "replay", []string{"events.>"}, event.ID{}, "")
		require.NoError(t, err)
		return c
	}

	all, more, err := eventlog.Pull(consumer(), ctx, 100, 1<<20)
	require.NoError(t, err)
	assert.Len(t, all, 10)
	assert.False(t, more)

	size := 0
	for _, m := range all[:4] {
		size += m.Size()
	}
	for _, tt := range []struct {
		name             string
		batch, bytes     int
		first, then      int
		more, moreAtLast bool
	}{
		{"bytes used up exactly", 100, size, 4, 4, true, true},
		{"bytes used up nearly", 100, size + 1, 4, 4, true, true},
		{"events used up", 5, 1 << 20, 5, 5, true, true},
		{"no bound of bytes", 7, 0, 7, 3, true, false},
		{"one event is larger", 100, 1, 1, 1, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := consumer()
			first, more, err := c.Fetch(ctx, tt.batch, tt.bytes)
			require.NoError(t, err)
			assert.Len(t, first, tt.first)
			assert.Equal(t, tt.more, more)
			then, more, err := c.Fetch(ctx, tt.batch, tt.bytes)
			require.NoError(t, err)
			assert.Len(t, then, tt.then, "goes on where it ended")
			assert.Equal(t, tt.moreAtLast, more)
		})
	}
}
