package sse_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// TestABlockStaysBelowItsBound whatever is in the event, in every format, with the
// longest topic and type and a long stream name.
func TestABlockStaysBelowItsBound(t *testing.T) {
	topic := strings.TrimSuffix(strings.Repeat(strings.Repeat("t", 64)+".", 16), ".")
	require.NoError(t, event.CheckTopic(topic))
	typ := strings.Repeat("e", 64)
	require.NoError(t, event.CheckType(typ))
	piece := rapid.SampledFrom([]string{"x", "\n", "\r\n", "\r", `"`, "\x00", "\xff", `{"a":1}`, "€", "[1,\n2]"})
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SampledFrom([]int{1, 100, event.DefaultMaxBytes, 200_000}).Draw(t, "MAX_EVENT_BYTES")
		e := sse.NewEncoder(strings.Repeat("S", 255), math.MaxInt64, bytes)
		unit := piece.Draw(t, "unit")
		counts, _ := event.Size([]byte(unit))
		near := bytes/counts + rapid.IntRange(-20, 20).Draw(t, "off")
		data := rapid.SampledFrom([]string{"", `"`, "\n"}).Draw(t, "before") + strings.Repeat(unit, max(0, near))
		m := wire.Message{ID: testID, Topic: topic, Header: typ, Data: []byte(data), Time: time.Unix(0, 123456789)}
		for _, f := range formats(e) {
			for _, w := range []wire.Wire{f, sse.IDLast{Format: f}} {
				block, flaw := w.Event(m)
				require.Less(t, len(block), bytes+event.BlockOverhead, "%T", w)
				size, _ := event.Size(m.Data)
				if f == sse.Format(e) {
					require.Equal(t, size > bytes, flaw&wire.FlawSize != 0, "the publisher refuses just what is told without its data")
				}
			}
		}
	})
	require.Equal(t, 64<<10, event.DefaultMaxBytes+event.BlockOverhead)
}
