package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

func set(t require.TestingT, filter string) *topics.Set {
	s, err := topics.New(filter)
	require.NoError(t, err)
	return s
}

// ringModel is a ring that forgets nothing: what the real one says must be true
// of it.
type ringModel struct {
	frames  []wire.Frame // by index
	section int
	begin   event.ID // of the section
	pos     event.ID
}

// floor is the position before the first frame that a ring with the given
// first index keeps of the section.
func (m *ringModel) floor(first int) event.ID {
	if first <= m.section {
		return m.begin
	}
	return m.frames[first-1].ID
}

func TestRingAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxEvents := rapid.IntRange(1, 100).Draw(t, "RingEvents")
		maxBytes := rapid.Int64Range(50, 5000).Draw(t, "RingBytes")
		r, m := New(maxEvents, maxBytes), &ringModel{}
		put := func(f wire.Frame, add func(wire.Frame)) {
			f.Block = make([]byte, f.Cost)
			add(f)
			f.Index = uint64(len(m.frames))
			m.frames, m.pos = append(m.frames, f), f.ID
		}
		start := event.ID{Epoch: 1, Seq: rapid.Uint64Range(0, 5).Draw(t, "start")}
		r.Begin(start)
		m.begin, m.pos = start, start

		t.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				id := event.ID{Epoch: m.pos.Epoch, Seq: m.pos.Seq + rapid.Uint64Range(1, 3).Draw(t, "step")}
				topic := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic")
				put(wire.Frame{ID: id, Time: int64(id.Seq / 2), Topic: topic, Cost: rapid.Int64Range(1, 200).Draw(t, "cost")}, r.Append)
			},
			"advance": func(t *rapid.T) {
				to := m.pos
				to.Seq += rapid.Uint64Range(0, 4).Draw(t, "by")
				r.Advance(to)
				r.Advance(event.ID{Epoch: to.Epoch + 1, Seq: to.Seq + 1}) // of another log: ignored
				m.pos = to
			},
			"gap": func(t *rapid.T) {
				before := m.pos
				before.Seq += rapid.Uint64Range(1, 9).Draw(t, "by")
				put(wire.Frame{ID: before, Time: int64(before.Seq / 2), Cost: 100}, r.Append)
			},
			"restart": func(t *rapid.T) {
				before := event.ID{Epoch: m.pos.Epoch + rapid.Int64Range(0, 1).Draw(t, "epoch"), Seq: rapid.Uint64Range(0, 9).Draw(t, "seq")}
				m.section, m.begin = len(m.frames), before
				put(wire.Frame{ID: before, Cost: 100}, r.Restart)
			},
			"": func(t *rapid.T) { checkRing(t, r, m, maxEvents, maxBytes) },
		})
	})
}

func checkRing(t *rapid.T, r *Ring, m *ringModel, maxEvents int, maxBytes int64) {
	next, pos := r.Tail()
	require.EqualValues(t, len(m.frames), next)
	require.Equal(t, m.pos, pos)
	kept := int(next - r.first)
	require.LessOrEqual(t, kept, maxEvents)
	require.True(t, r.bytes <= maxBytes || kept == 1, "%d bytes in %d frames", r.bytes, kept)
	first := int(r.first)
	floor := m.floor(first)

	// Whoever asks for a position is sent on to the first frame after it.
	seq := rapid.Uint64Range(0, m.pos.Seq+3).Draw(t, "cursor")
	cursor := event.ID{Epoch: m.pos.Epoch, Seq: seq}
	index, ok := r.Locate(cursor)
	require.Equal(t, seq >= floor.Seq, ok, "floor %v, cursor %v", floor, cursor)
	_, ok2 := r.Locate(event.ID{Epoch: m.pos.Epoch + 1, Seq: seq})
	require.False(t, ok2, "of another log")
	if ok {
		want := max(first, m.section)
		for want < len(m.frames) && m.frames[want].ID.Seq <= seq {
			want++
		}
		require.EqualValues(t, want, index)
		checkRead(t, r, m, want)
	}
	if first > 0 {
		_, _, _, ok := r.Read(nil, uint64(first-1), next, 1<<20, nil)
		require.False(t, ok, "what is gone is not passed over")
	}
}

// checkRead reads the events of topic a from an index on, in small portions.
func checkRead(t *rapid.T, r *Ring, m *ringModel, from int) {
	onlyA := set(t, "a")
	room := rapid.IntRange(1, 600).Draw(t, "room")
	var got []wire.Frame
	for at := uint64(from); at < uint64(len(m.frames)); {
		frames, upTo, pos, ok := r.Read(nil, at, uint64(len(m.frames)), room, onlyA)
		require.True(t, ok)
		require.Greater(t, upTo, at, "it gets on")
		bytes := 0
		for _, f := range frames {
			bytes += len(f.Block)
		}
		require.True(t, bytes <= room || len(frames) == 1, "%d bytes", bytes)
		if upTo == uint64(len(m.frames)) {
			require.Equal(t, m.pos, pos)
		} else {
			require.Equal(t, m.frames[upTo-1].ID, pos)
		}
		got, at = append(got, frames...), upTo
	}
	for _, want := range m.frames[from:] {
		if want.Topic == "b" {
			continue
		}
		require.NotEmpty(t, got, "frame %d is missing", want.Index)
		require.Equal(t, want.Index, got[0].Index)
		got = got[1:]
	}
	require.Empty(t, got)
}

func last(t require.TestingT, r *Ring, n int, filter string) event.ID {
	pos, err := r.Last(n, set(t, filter), func() error { return nil })
	require.NoError(t, err)
	return pos
}

func TestRingLastAndSince(t *testing.T) {
	r := New(6, 1<<20)
	id := func(seq uint64) event.ID { return event.ID{Epoch: 1, Seq: seq} }
	r.Begin(id(10))
	_, ok := r.Since(0)
	require.False(t, ok, "an empty ring knows no times")
	require.Equal(t, id(10), last(t, r, 3, ">"))
	for i := range uint64(10) { // the ring keeps 15 to 20
		r.Append(wire.Frame{ID: id(11 + i), Time: int64(100 * (11 + i)), Topic: []string{"a", "b"}[i%2]})
	}

	for n, want := range map[int]uint64{1: 19, 2: 18, 6: 14, 100: 14} {
		require.Equal(t, id(want), last(t, r, n, ">"), "last %d", n)
	}
	for n, want := range map[int]uint64{1: 18, 2: 16, 3: 14, 4: 14} {
		require.Equal(t, id(want), last(t, r, n, "a"), "last %d of a", n)
	}
	require.Equal(t, id(20), last(t, r, 5, "c"))

	for at, want := range map[int64]uint64{1501: 15, 1600: 15, 1999: 19, 2000: 19, 2001: 20, 9999: 20} {
		pos, ok := r.Since(at)
		require.True(t, ok, at)
		require.Equal(t, id(want), pos, at)
	}
	for _, at := range []int64{0, 1400, 1500} {
		_, ok := r.Since(at)
		require.False(t, ok, "events of %d may have been forgotten", at)
	}
}
