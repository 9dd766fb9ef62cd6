package replay_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/replay"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const epoch = 7

func delivered(topic string, seqs ...uint64) (msgs []wire.Message) {
	for _, seq := range seqs {
		msgs = append(msgs, wire.Message{ID: event.ID{Epoch: epoch, Seq: seq}, Topic: topic})
	}
	return msgs
}

func TestChunkOfWhatWasDelivered(t *testing.T) {
	t.Parallel()
	a := func(seqs ...uint64) []wire.Message { return delivered("a", seqs...) }
	for _, tt := range []struct {
		name  string
		msgs  []wire.Message // after 10
		more  bool
		first uint64 // of the log after they came
		want  []string
		upTo  uint64
	}{
		{"nothing", nil, true, 1, nil, 10},
		{"nothing, and nothing is left", nil, false, 1, nil, 10},
		{"every event", a(11, 12), true, 1, []string{"11 a", "12 a"}, 12},
		{"others' events in between", a(12, 15), true, 1, []string{"12 a", "15 a"}, 15},
		{"a jump that begins where the log does", a(15), true, 11, []string{"15 a"}, 15},
		{"a jump that begins before the log does", a(15), true, 12, []string{"gap expired to 14", "15 a"}, 15},
		{"a jump over all that was lost", a(15), true, 15, []string{"gap expired to 14", "15 a"}, 15},
		{"the log begins after what was delivered", a(11, 12), true, 50, []string{"11 a", "12 a"}, 12},
		{"a jump between two events", a(11, 15), true, 12, []string{"11 a", "15 a"}, 15},
		{"a loss between two events", a(11, 15), true, 13, []string{"11 a", "gap expired to 14", "15 a"}, 15},
		{"two losses", a(12, 15), true, 20, []string{"gap expired to 11", "12 a", "gap expired to 14", "15 a"}, 15},
		{"a loss after the last event", a(11), false, 20, []string{"11 a", "gap expired to 19"}, 19},
		{"none after the last event", a(11), false, 12, []string{"11 a"}, 11},
		{"all is lost", nil, false, 20, []string{"gap expired to 19"}, 19},
		{"all may be lost, or is still to come", nil, true, 20, nil, 10},
		{"what was told already", a(9, 10, 11), true, 1, []string{"11 a"}, 11},
		{"an event of a widened filter", append(a(11), delivered("b", 12)...), true, 1, []string{"11 a"}, 12},
		{"an event without a topic", append(a(11), delivered("", 12)...), true, 1, []string{"11 a"}, 12},
		{"a loss before an event of a widened filter", delivered("b", 15), true, 12, []string{"gap expired to 14"}, 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := pure().Assemble(set(t, "a"), event.ID{Epoch: epoch, Seq: 10}, tt.msgs, tt.more, tt.first)
			assert.Equal(t, tt.want, feedtest.Told(c.Frames))
			assert.Equal(t, event.ID{Epoch: epoch, Seq: tt.upTo}, c.UpTo)
			assert.False(t, c.Waited)
		})
	}
}

// TestChunkTellsEveryEventOrItsLoss: whatever the log has lost by the time that
// its state was asked for.
func TestChunkTellsEveryEventOrItsLoss(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		after := rapid.Uint64Range(0, 20).Draw(t, "after")
		last := after + rapid.Uint64Range(0, 20).Draw(t, "last")
		lost := rapid.Uint64Range(0, last).Draw(t, "lost before they were delivered")
		first := lost + 1 + rapid.Uint64Range(0, last-lost).Draw(t, "lost after that")
		more := rapid.Bool().Draw(t, "more")
		ours := map[uint64]bool{}
		var msgs []wire.Message
		for seq := after + 1; seq <= last; seq++ {
			ours[seq] = rapid.Bool().Draw(t, fmt.Sprint("ours ", seq))
			if ours[seq] && seq > lost {
				msgs = append(msgs, delivered("a", seq)...)
			}
		}
		if more && len(msgs) > 0 {
			msgs = msgs[:rapid.IntRange(1, len(msgs)).Draw(t, "delivered")]
		}

		c := pure().Assemble(set(t, "a"), event.ID{Epoch: epoch, Seq: after}, msgs, more, first)

		events, pos := 0, after
		for i := range c.Frames {
			f := &c.Frames[i]
			require.Greater(t, f.ID.Seq, pos, "in order, each once")
			if f.IsGap() {
				require.Less(t, pos+1, first, "a gap begins where the log may have lost something")
				pos = f.ID.Seq
				continue
			}
			for seq := pos + 1; seq < f.ID.Seq; seq++ {
				require.False(t, ours[seq], "%d is passed over without a word", seq)
			}
			events++
			pos = f.ID.Seq
		}
		require.Equal(t, len(msgs), events, "all that was delivered is told")
		for seq := pos + 1; seq <= c.UpTo.Seq; seq++ {
			require.False(t, ours[seq], "%d at the end is passed over without a word", seq)
		}
		require.GreaterOrEqual(t, c.UpTo.Seq, pos)
		if !more {
			require.GreaterOrEqual(t, c.UpTo.Seq+1, first, "nothing is left that is lost and not told")
		}
	})
}

func TestNextChunkIsAsLargeAsItsCallerIsQuick(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	for _, tt := range []struct {
		name  string
		bytes int
		took  time.Duration
		want  int
	}{
		{"quick", 16 * kib, 0, 64 * kib},
		{"quick again", 64 * kib, 0, 128 * kib},
		{"quick with the largest", 256 * kib, 0, 256 * kib},
		{"slow with the first", 16 * kib, time.Hour, 16 * kib},
		{"slow", 128 * kib, time.Hour, 64 * kib},
		{"not known", 128 * kib, -1, 128 * kib},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, replay.Paced(tt.bytes, tt.took)) })
	}
}

// TestReplayWaitsForASlot says so every ten seconds, and asks NATS for nothing.
func TestReplayWaitsForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs := pure()
		defer rs.Take()()
		r := rs.Open(set(t, "a"))
		defer r.Close()
		after, began := event.ID{Epoch: epoch, Seq: 3}, time.Now()
		c, err := r.Next(t.Context(), after)
		require.NoError(t, err)
		assert.Equal(t, wire.Chunk{UpTo: after, Waited: true}, c)
		assert.Equal(t, replay.WarmEvery, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.Next(ctx, after)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, replay.WarmEvery+time.Second, time.Since(began))

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = rs.AtTime(ctx, epoch, began)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "it takes a slot too")
	})
}
