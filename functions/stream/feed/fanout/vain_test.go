package fanout

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/ring"
	"sluice/natsembed/natstest"
)

// TestWhoLooksInVainPays: after each whole go, not after the last one, and
// nobody else waits for that. When it has paid it goes on.
func TestWhoLooksInVainPays(t *testing.T) {
	natstest.CheckGoroutines(t)
	const goes = 4
	asked, paid := make(chan time.Duration), make(chan struct{})
	s := newStepped(t, 1<<16, func(c *Config) {
		c.Pay = func(ctx context.Context, vain time.Duration) error {
			select {
			case asked <- vain:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case <-paid:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	})
	s.publish(goes*ring.ScanFrames+1, 10)
	s.shard.flush()
	vain, _ := s.client(0, "x.1", "x.2")
	s.shard.flush()
	for range goes {
		require.Positive(t, natstest.Receive(t, asked))
		// It waits to have paid: only one may read the ring at a time, but this
		// does not hold anybody up, nor is it held against whoever gets all he
		// looks at.
		beside := s.connect(0)
		s.shard.flush()
		s.want(beside, 0)
		paid <- struct{}{}
	}
	s.live()
	s.add("x.2", []byte("1"))
	s.shard.flush()
	require.Eventually(t, func() bool { return len(vain.ids()) == 1 }, natstest.Patience, time.Millisecond)
	require.Empty(t, asked)
}

// TestWhoPaysCanBeSentAway: a cut and the last block do not wait for the pause.
func TestWhoPaysCanBeSentAway(t *testing.T) {
	natstest.CheckGoroutines(t)
	asked := make(chan time.Duration, 1)
	s := newStepped(t, 1<<16, func(c *Config) {
		c.Pay = func(ctx context.Context, vain time.Duration) error {
			asked <- vain
			<-ctx.Done()
			return ctx.Err()
		}
	})
	s.publish(3*ring.ScanFrames, 10)
	s.shard.flush()
	cut, sub := s.client(0, "x")
	s.shard.flush()
	natstest.Receive(t, asked)
	sub.Cut(ErrGone)
	require.ErrorIs(t, s.ended(cut).Err, ErrGone)

	drained, sub := s.client(0, "x")
	s.shard.flush()
	natstest.Receive(t, asked)
	sub.Drain("shutdown")
	require.ErrorIs(t, s.ended(drained).Err, ErrDrained)
}
