package fanout

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
)

// failing is an outlet through net/http, of which a write fails: net/http then
// ends the request's context, and the write returns after that was seen.
type failing struct {
	gone        context.CancelFunc
	interrupted chan struct{}
	err         error
}

func (f *failing) Write([]byte) error {
	f.gone()
	<-f.interrupted
	return f.err
}

func (f *failing) Interrupt() { close(f.interrupted) }

func TestAStallIsNotTakenForAClientThatIsGone(t *testing.T) {
	for reason, err := range map[string]error{"stalled": ErrStalled, "gone": errors.New("broken pipe")} {
		t.Run(reason, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s := newStepped(t, 16)
			sub, subErr := s.fanout.Subscribe(set(t), encoder)
			require.NoError(t, subErr)
			sub.Open(position(0), wire.Open{})
			ctx, gone := context.WithCancel(t.Context())
			e := sub.Serve(ctx, &failing{gone, make(chan struct{}), err})
			assert.Equal(t, reason, e.Reason)
		})
	}
}

// TestWhoDoesNotTakeTheLastBlockEndsForItsReason: the reason is why it was sent
// away, not that it was slow to go.
func TestWhoDoesNotTakeTheLastBlockEndsForItsReason(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	sub, err := s.fanout.Subscribe(set(t), encoder)
	require.NoError(t, err)
	sub.Open(position(0), wire.Open{})
	stuck := &failing{func() {}, make(chan struct{}), errors.New("interrupted")}
	sub.Drain(wire.ReasonRevoked)
	sub.Cut(ErrOverdue)
	e := sub.Serve(t.Context(), stuck)
	assert.ErrorIs(t, e.Err, ErrOverdue)
	assert.Equal(t, "revoked", e.Reason)
}
