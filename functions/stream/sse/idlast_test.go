package sse_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

var last = sse.IDLast{Format: encoder}

// formats are those of which IDLast makes others.
func formats(e *sse.Encoder) []sse.Format { return []sse.Format{e, sse.CloudEvents{Encoder: e}} }

func frame(m *wire.Message) wire.Frame {
	f, _ := wire.NewFrame(encoder, m)
	return f
}

func TestIDLastBytes(t *testing.T) {
	const id = "id: " + testIDText + "\n\n"
	first := event.ID{Epoch: testID.Epoch, Seq: 43}
	envelope := sse.IDLast{Format: sse.CloudEvents{Encoder: encoder}}
	lines := frame(message("order.v1", "a\n\nid: 7\n"))
	for name, tt := range map[string]struct {
		got  []byte
		want string
	}{
		"an event": {last.Merge(0, []wire.Frame{lines}),
			"event: order.v1\ndata: a\ndata: \ndata: id: 7\ndata: \nretry: 5000\n" + id},
		"two and a gap": {last.Merge(0, []wire.Frame{lines, wire.NewGap(encoder, wire.ReasonExpired, testID, testID), frame(message("", "1"))}),
			"event: order.v1\ndata: a\ndata: \ndata: id: 7\ndata: \nretry: 5000\n" + id +
				`event: system` + "\n" + `data: {"type":"gap","message":"events are missing: the log no longer keeps all that was asked for; continuing at the oldest kept event",` +
				`"reason":"expired","requested":"` + testIDText + `","first":"` + first.String() + `"}` + "\nretry: 5000\n" + id +
				"event: data\ndata: 1\nretry: 5000\n" + id},
		"no event": {last.Merge(0, nil), ""},
		"an envelope": {merge(envelope, 0, []wire.Frame{frame(message("", "1"))}),
			`event: data` + "\n" + `data: {"specversion":"1.0","id":"` + testIDText + `","source":"/EVENTS","type":"data","subject":"metric.cpu_usage",` +
				`"time":"2026-03-01T12:00:00.12Z","datacontenttype":"application/json","data":1}` + "\nretry: 5000\n" + id},
		"open": {last.Open(testID, wire.Open{Resumed: wire.ResumedNone}),
			"event: system\n" + `data: {"type":"open","message":"connected; the events follow","resumed":"none"}` + "\nretry: 5000\n" + id},
		"a heartbeat": {last.Heartbeat(testID, testTime, 3),
			"event: heartbeat\n" + `data: {"timestamp":"2026-03-01T12:00:00Z","clients":3}` + "\nretry: 5000\n" + id},
		"drain": {last.Bye(testID, wire.ReasonMaxAge, time.Second),
			"event: system\n" + `data: {"type":"drain","message":"the connection reached its age limit; reconnect to resume","reason":"max_age"}` + "\nretry: 1000\n" + id},
		"busy": {last.Busy(testIDText, "starting", "later", time.Second),
			"event: system\n" + `data: {"type":"busy","message":"later","reason":"starting"}` + "\nretry: 1000\n" + id},
		"busy without a cursor": {last.Busy("", "starting", "later", time.Second),
			"event: system\n" + `data: {"type":"busy","message":"later","reason":"starting"}` + "\nretry: 1000\n\n"},
		"busy with a long cursor": {last.Busy(strings.Repeat("x", 100), "starting", "later", time.Second),
			"event: system\n" + `data: {"type":"busy","message":"later","reason":"starting"}` + "\nretry: 1000\nid: " + strings.Repeat("x", 100) + "\n\n"},
		"a comment": {last.KeepAlive(), ":\n"},
	} {
		assert.Equal(t, tt.want, string(tt.got), name)
	}
}

// TestACutMovesNoCursorWithIDLast: a client that keeps the id at its line has not
// moved on before the block is there, whatever it holds and wherever it is cut.
func TestACutMovesNoCursorWithIDLast(t *testing.T) {
	data := rapid.OneOf(rapid.SampledFrom([]string{"", "\n", "\n\nid: 7\n\n", "\r\rid: 7\r", "\xff", `{"a":1}`}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		inner := rapid.SampledFrom(formats(encoder)).Draw(t, "format")
		l := sse.IDLast{Format: inner}
		m := *message(rapid.SampledFrom([]string{"", "order.v1", "id"}).Draw(t, "type"), data.Draw(t, "data"))
		gap := wire.Gap{Reason: wire.ReasonUnknown, Requested: data.Draw(t, "requested")}
		event, flaw := l.Event(m)
		_, innerFlaw := inner.Event(m)
		require.Equal(t, innerFlaw, flaw)
		blocks := map[string][]byte{
			"event": event, "gap": l.Gap(testID, gap), "open": l.Open(testID, wire.Open{Gap: &gap}),
			"heartbeat": l.Heartbeat(testID, testTime, 1), "bye": l.Bye(testID, wire.ReasonShutdown, 0),
			"expired": l.Bye(testID, wire.ReasonTokenExpired, 0),
			"busy":    l.Busy(testIDText, "starting", "later", 0), "away": l.Away(testIDText, 0),
			"merged": merge(l, 0, []wire.Frame{frame(&m)}),
		}
		for kind, block := range blocks {
			require.Equal(t, "\n\n", string(block[len(block)-2:]), kind)
			for n := range len(block) - 1 {
				require.NotContains(t, kept(block[:n]), testIDText, "%s cut at %d: %q", kind, n, block)
			}
			require.Equal(t, []string{testIDText}, kept(block), kind)
			require.Len(t, parseWHATWG(string(block)), 1, kind)
		}
	})
}

// merge renders frames as w has them, and joins them.
func merge(w wire.Wire, margin int, frames []wire.Frame) []byte {
	own := slices.Clone(frames)
	for i := range own {
		own[i].Block = w.Block(&frames[i])
	}
	return w.Merge(margin, own)
}

// kept are the ids of the id lines that are there to their ends.
func kept(text []byte) (ids []string) {
	for line := range bytes.Lines(text) {
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok && bytes.HasSuffix(id, []byte("\n")) {
			ids = append(ids, string(id[:len(id)-1]))
		}
	}
	return ids
}

// TestIDLastMergesTheSameLines with any margin, which it leaves alone, and leaves
// the frames as they are.
func TestIDLastMergesTheSameLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := rapid.SampledFrom(formats(encoder)).Draw(t, "format")
		l := sse.IDLast{Format: inner}
		margin := rapid.IntRange(0, 64).Draw(t, "margin")
		var frames []wire.Frame
		var want []byte
		for _, data := range rapid.SliceOfN(rapid.String(), 0, 10).Draw(t, "payloads") {
			m := message("", data)
			block, _ := l.Event(*m)
			frames, want = append(frames, frame(m)), append(want, block...)
		}
		before := merge(inner, 0, frames)
		got := merge(l, margin, frames)
		require.Equal(t, string(want), string(got[margin:]))
		require.Equal(t, make([]byte, margin), got[:margin])
		require.GreaterOrEqual(t, cap(got)-len(got), margin)
		require.Equal(t, string(before), string(merge(inner, 0, frames)), "what others get")
	})
}

func BenchmarkMerge(b *testing.B) {
	for name, data := range map[string]string{"small": `{"type":"metric","name":"cpu_usage","value":45.2}`, "large": `"` + strings.Repeat("x", 10_000) + `"`} {
		large := sse.NewEncoder("EVENTS", 0, 0)
		f, _ := wire.NewFrame(large, message("", data))
		frames := []wire.Frame{f, f, f, f, f, f, f, f}
		for kind, w := range map[string]wire.Wire{
			"first": large, "last": sse.IDLast{Format: large},
			"cloudevents": sse.CloudEvents{Encoder: large}, "cloudevents last": sse.IDLast{Format: sse.CloudEvents{Encoder: large}},
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.Merge(0, frames)
				}
			})
		}
	}
}
