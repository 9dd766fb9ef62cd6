package feed

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/publisher/event"
)

// ringModel is a ring that forgets nothing: what the real one says must be true
// of it.
type ringModel struct {
	frames  []frame // by index
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
	return m.frames[first-1].id
}

func TestRingAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxEvents := rapid.IntRange(1, 100).Draw(t, "RingEvents")
		maxBytes := rapid.Int64Range(50, 5000).Draw(t, "RingBytes")
		r, m := newRing(maxEvents, maxBytes), &ringModel{}
		put := func(f frame, add func(frame)) {
			f.block = make([]byte, f.cost)
			add(f)
			f.index = uint64(len(m.frames))
			m.frames, m.pos = append(m.frames, f), f.id
		}
		start := event.ID{Epoch: 1, Seq: rapid.Uint64Range(0, 5).Draw(t, "start")}
		r.begin(start)
		m.begin, m.pos = start, start

		t.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				id := event.ID{Epoch: m.pos.Epoch, Seq: m.pos.Seq + rapid.Uint64Range(1, 3).Draw(t, "step")}
				topic := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic")
				put(frame{id: id, time: int64(id.Seq / 2), topic: topic, cost: rapid.Int64Range(1, 200).Draw(t, "cost")}, r.append)
			},
			"advance": func(t *rapid.T) {
				to := m.pos
				to.Seq += rapid.Uint64Range(0, 4).Draw(t, "by")
				r.advance(to)
				r.advance(event.ID{Epoch: to.Epoch + 1, Seq: to.Seq + 1}) // of another log: ignored
				m.pos = to
			},
			"gap": func(t *rapid.T) {
				before := m.pos
				before.Seq += rapid.Uint64Range(1, 9).Draw(t, "by")
				put(frame{id: before, time: int64(before.Seq / 2), cost: 100}, r.append)
			},
			"restart": func(t *rapid.T) {
				before := event.ID{Epoch: m.pos.Epoch + rapid.Int64Range(0, 1).Draw(t, "epoch"), Seq: rapid.Uint64Range(0, 9).Draw(t, "seq")}
				m.section, m.begin = len(m.frames), before
				put(frame{id: before, cost: 100}, r.restart)
			},
			"": func(t *rapid.T) { checkRing(t, r, m, maxEvents, maxBytes) },
		})
	})
}

func checkRing(t *rapid.T, r *ring, m *ringModel, maxEvents int, maxBytes int64) {
	next, pos := r.tail()
	require.EqualValues(t, len(m.frames), next)
	require.Equal(t, m.pos, pos)
	kept := int(next - r.first)
	require.LessOrEqual(t, kept, maxEvents)
	require.True(t, r.bytes <= maxBytes || kept == 1, "%d bytes in %d frames", r.bytes, kept)
	first := int(r.first)
	floor := m.floor(first)

	// Whoever asks for a position is sent on to the first frame behind it.
	seq := rapid.Uint64Range(0, m.pos.Seq+3).Draw(t, "cursor")
	cursor := event.ID{Epoch: m.pos.Epoch, Seq: seq}
	index, ok := r.locate(cursor)
	require.Equal(t, seq >= floor.Seq, ok, "floor %v, cursor %v", floor, cursor)
	_, ok2 := r.locate(event.ID{Epoch: m.pos.Epoch + 1, Seq: seq})
	require.False(t, ok2, "of another log")
	if ok {
		want := max(first, m.section)
		for want < len(m.frames) && m.frames[want].id.Seq <= seq {
			want++
		}
		require.EqualValues(t, want, index)
		checkRead(t, r, m, want)
	}
	if first > 0 {
		_, _, _, ok := r.read(nil, uint64(first-1), next, 1<<20, nil)
		require.False(t, ok, "what is gone is not passed over")
	}
}

// checkRead reads the events of topic a from an index on, in small portions.
func checkRead(t *rapid.T, r *ring, m *ringModel, from int) {
	topics := newTopics([]string{"a"})
	room := rapid.IntRange(1, 600).Draw(t, "room")
	var got []frame
	for at := uint64(from); at < uint64(len(m.frames)); {
		frames, upTo, pos, ok := r.read(nil, at, uint64(len(m.frames)), room, topics)
		require.True(t, ok)
		require.Greater(t, upTo, at, "it gets on")
		bytes := 0
		for _, f := range frames {
			bytes += len(f.block)
		}
		require.True(t, bytes <= room || len(frames) == 1, "%d bytes", bytes)
		if upTo == uint64(len(m.frames)) {
			require.Equal(t, m.pos, pos)
		} else {
			require.Equal(t, m.frames[upTo-1].id, pos)
		}
		got, at = append(got, frames...), upTo
	}
	for _, want := range m.frames[from:] {
		if want.topic == "b" {
			continue
		}
		require.NotEmpty(t, got, "frame %d is missing", want.index)
		require.Equal(t, want.index, got[0].index)
		got = got[1:]
	}
	require.Empty(t, got)
}

func TestRingLastAndSince(t *testing.T) {
	r := newRing(6, 1<<20)
	id := func(seq uint64) event.ID { return event.ID{Epoch: 1, Seq: seq} }
	r.begin(id(10))
	_, ok := r.since(0)
	require.False(t, ok, "an empty ring knows no times")
	require.Equal(t, id(10), r.last(3, newTopics([]string{">"})))
	for i := range uint64(10) { // the ring keeps 15 to 20
		r.append(frame{id: id(11 + i), time: int64(100 * (11 + i)), topic: []string{"a", "b"}[i%2]})
	}

	for n, want := range map[int]uint64{1: 19, 2: 18, 6: 14, 100: 14} {
		require.Equal(t, id(want), r.last(n, newTopics([]string{">"})), "last %d", n)
	}
	for n, want := range map[int]uint64{1: 18, 2: 16, 3: 14, 4: 14} {
		require.Equal(t, id(want), r.last(n, newTopics([]string{"a"})), "last %d of a", n)
	}
	require.Equal(t, id(20), r.last(5, newTopics([]string{"c"})))

	for at, want := range map[int64]uint64{1501: 15, 1600: 15, 1999: 19, 2000: 19, 2001: 20, 9999: 20} {
		pos, ok := r.since(at)
		require.True(t, ok, at)
		require.Equal(t, id(want), pos, at)
	}
	for _, at := range []int64{0, 1400, 1500} {
		_, ok := r.since(at)
		require.False(t, ok, "events of %d may have been forgotten", at)
	}
}
