package feed_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed"
	"sluice/natsembed/natstest"
)

// running is a feed that has read the log and runs until the test ends, as do ctx
// and, which the test waits for, tasks.
func running(t *testing.T, cfg feed.Config) (f *feed.Feed, ctx context.Context, tasks *sync.WaitGroup) {
	t.Helper()
	f, err := feed.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(natstest.Context(t))
	tasks = &sync.WaitGroup{}
	t.Cleanup(func() {
		cancel()
		natstest.Await(t, tasks.Wait)
	})
	tasks.Go(func() { _ = f.Run(ctx) })
	natstest.Receive(t, f.Loaded())
	return f, ctx, tasks
}
