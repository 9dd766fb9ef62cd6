package ring

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// stuck is a matcher that takes for ever.
type stuck struct {
	began   chan struct{} // closed when it is asked
	release chan struct{}
	once    sync.Once
}

func newStuck(t *testing.T) *stuck {
	s := &stuck{began: make(chan struct{}), release: make(chan struct{})}
	t.Cleanup(func() { close(s.release) })
	return s
}

func (s *stuck) Match(string) bool {
	s.once.Do(func() { close(s.began) })
	<-s.release
	return false
}

func filled(frames int) *Ring {
	r := New(frames, 1<<30)
	r.Begin(event.ID{Epoch: 1})
	for i := range frames {
		r.Append(wire.Frame{ID: event.ID{Epoch: 1, Seq: uint64(i + 1)}, Topic: fmt.Sprintf("t.%d", i), Block: []byte("x")})
	}
	return r
}

// TestTheReaderGoesOnWhileAClientMatches: however long a client's topics take to
// match, the reader appends and the others read.
func TestTheReaderGoesOnWhileAClientMatches(t *testing.T) {
	for name, scan := range map[string]func(*Ring, Matcher){
		"reading":       func(r *Ring, m Matcher) { r.Read(nil, 0, 100, 1<<20, m) },
		"counting back": func(r *Ring, m Matcher) { _, _ = r.Last(1, m, func() error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			r, m := filled(100), newStuck(t)
			go scan(r, m)
			natstest.Receive(t, m.began)
			natstest.Await(t, func() {
				r.Append(wire.Frame{ID: event.ID{Epoch: 1, Seq: 101}, Topic: "a"})
				r.Advance(event.ID{Epoch: 1, Seq: 102})
				_, upTo, pos, ok := r.Read(nil, 100, 200, 1<<20, nil)
				require.True(t, ok)
				require.EqualValues(t, 101, upTo)
				require.Equal(t, event.ID{Epoch: 1, Seq: 102}, pos)
			})
		})
	}
}

// counted is a matcher that wants nothing and counts what it is asked.
type counted struct{ asked int }

func (c *counted) Match(string) bool { c.asked++; return false }

// TestAScanGoesInPieces: neither reading nor counting back matches more frames
// than ScanFrames in one go.
func TestAScanGoesInPieces(t *testing.T) {
	const pieces = 5
	r := filled(pieces * ScanFrames)
	var m counted
	for i := range uint64(pieces) {
		frames, upTo, pos, ok := r.Read(nil, i*ScanFrames, 1<<40, 1<<40, &m)
		require.True(t, ok)
		require.Empty(t, frames)
		require.EqualValues(t, (i+1)*ScanFrames, upTo)
		require.EqualValues(t, upTo, pos.Seq)
		require.EqualValues(t, upTo, m.asked)
	}

	m.asked = 0
	pauses := 0
	pos, err := r.Last(1, &m, func() error { pauses++; require.Equal(t, pauses*ScanFrames, m.asked); return nil })
	require.NoError(t, err)
	require.EqualValues(t, pieces*ScanFrames, pos.Seq)
	require.EqualValues(t, pieces*ScanFrames, m.asked)
	require.Equal(t, pieces, pauses)

	gone := errors.New("gone")
	m.asked = 0
	_, err = r.Last(1, &m, func() error { return gone })
	require.ErrorIs(t, err, gone)
	require.EqualValues(t, ScanFrames, m.asked)
}

// TestCountingBackWhileTheRingMoves: between two goes the ring forgets what is
// to be looked at, or the log becomes another one.
func TestCountingBackWhileTheRingMoves(t *testing.T) {
	const frames = 3 * ScanFrames
	first := event.ID{Epoch: 1, Seq: 1}
	t.Run("forgets", func(t *testing.T) {
		r := filled(frames)
		pos, err := r.Last(1<<20, set(t, ">"), func() error {
			for range 2 * ScanFrames {
				pos := r.Position()
				pos.Seq++
				r.Append(wire.Frame{ID: pos, Topic: "a"})
			}
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, frames-ScanFrames, pos.Seq, "the position before the oldest one that it came to")
	})
	t.Run("another log", func(t *testing.T) {
		r := filled(frames)
		again := first
		again.Epoch++
		restarted := false
		pos, err := r.Last(1, set(t, "t.0"), func() error {
			if !restarted {
				r.Restart(wire.Frame{ID: event.ID{Epoch: again.Epoch}})
				r.Append(wire.Frame{ID: again, Topic: "t.0"})
				restarted = true
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, event.ID{Epoch: again.Epoch}, pos)
	})
}
