//go:build unix

package socket_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/fanout"
	"sluice/natsembed/natstest"
)

// cuts are what a Cutter was told.
type cuts chan error

func (c cuts) Cut(err error) { c <- err }

// watched is a connection that the watch has.
func (s *taker) watched(t *testing.T) (taken, cuts) {
	t.Helper()
	c, told := s.take(t, "HTTP/1.1"), make(cuts, 16)
	s.watch.Add(c.Conn, told)
	return c, told
}

func TestTheWatchNotices(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c taken)
	}{
		{"a close", func(t *testing.T, c taken) { require.NoError(t, c.client.Close()) }},
		{"a half-close", func(t *testing.T, c taken) { require.NoError(t, c.client.CloseWrite()) }},
		{"a reset", func(t *testing.T, c taken) {
			require.NoError(t, c.client.SetLinger(0))
			require.NoError(t, c.client.Close())
		}},
		{"a close behind what the client said", func(t *testing.T, c taken) {
			_, err := c.client.Write(make([]byte, 64<<10))
			require.NoError(t, err)
			require.NoError(t, c.client.CloseWrite())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTaker(t, patient)
			c, told := s.watched(t)
			defer c.Close(false)
			beside, others := s.watched(t)
			defer beside.Close(false)
			tt.do(t, c)
			require.ErrorIs(t, natstest.Receive(t, told), fanout.ErrGone)
			assert.Empty(t, others, "nobody else is concerned")
		})
	}
}

func TestAClientThatTalksIsReadAndNotCut(t *testing.T) {
	s := newTaker(t, patient)
	c, told := s.watched(t)
	defer c.Close(false)
	_, err := c.client.Write(make([]byte, 16<<20)) // far more than sockets hold
	require.NoError(t, err)
	require.Empty(t, told)
	require.NoError(t, c.client.Close())
	require.ErrorIs(t, natstest.Receive(t, told), fanout.ErrGone)
}
