//go:build !race

package sse_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// The race detector allocates on its own, hence the build constraint.
func TestAllocations(t *testing.T) {
	large := sse.NewEncoder("EVENTS", 0, 0)
	for _, tt := range []struct {
		name, data string
		checking   float64 // allocations of json.Valid, which makes an error of what is no JSON
	}{
		{"JSON", `{"type":"metric","name":"cpu_usage","value":45.2}`, 0},
		{"JSON lines", "[\r\n" + strings.Repeat("{\r\n}\n\r,", 1000) + "1]\n", 0},
		{"text", strings.Repeat("\"\x01\n", 1000), 4},
		{"bytes", strings.Repeat("\xff", 1000), 0},
		{"too large", strings.Repeat("a", event.DefaultMaxBytes+1), 0},
		{"empty", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := message("order.v1", tt.data)
			room := make([]byte, 0, 1<<20)
			assert.LessOrEqual(t, testing.AllocsPerRun(20, func() { large.Append(nil, m) }), 1.0)
			assert.Zero(t, testing.AllocsPerRun(20, func() { large.Append(room, m) }))
			assert.LessOrEqual(t, testing.AllocsPerRun(20, func() { large.AppendCloudEvent(nil, m) }), 1+tt.checking)
			assert.LessOrEqual(t, testing.AllocsPerRun(20, func() { large.AppendCloudEvent(room, m) }), tt.checking)

			frames := make([]wire.Frame, 2)
			for i := range frames {
				frames[i], _ = wire.NewFrame(large, m)
			}
			for _, inner := range formats(large) {
				want := testing.AllocsPerRun(20, func() { inner.Merge(18, frames) })
				assert.Equal(t, want, testing.AllocsPerRun(20, func() { sse.IDLast{Format: inner}.Merge(18, frames) }), "%T", inner)
			}

			block, _ := large.Append(nil, m)
			assert.LessOrEqual(t, cap(block), len(block)+len(block)/4+64, "room beyond the block's size class")
		})
	}
	assert.LessOrEqual(t, testing.AllocsPerRun(20, func() { large.AppendHeartbeat(nil, testID, testTime, 3) }), 1.0, "heartbeat")
}
