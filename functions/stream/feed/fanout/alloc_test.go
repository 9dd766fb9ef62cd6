//go:build !race

package fanout

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestFanOutAllocatesOncePerEventAndTopicSet(t *testing.T) {
	f := newFanOut(t, 100, same)
	f.publish("metric.cpu", 1)
	// One allocation is the event's own: its block, encoded once.
	perEvent := testing.AllocsPerRun(1000, func() { f.publish("metric.cpu", 1) })
	require.LessOrEqual(t, perEvent, 2.0, "the block, and the write that 100 clients share")
	none := testing.AllocsPerRun(1000, func() { f.publish("log.error", 1) })
	require.LessOrEqual(t, none, 1.0, "an event that nobody wants costs its block")
}

func TestClientsOnOtherTopicsCostNothing(t *testing.T) {
	f := newFanOut(t, 1000, own)
	before := f.sinks[1].writes
	f.publish("client.0", 100)
	require.Equal(t, before, f.sinks[1].writes)
	require.Equal(t, 1, f.sinks[0].writes, "what waits goes out in one write")
	alone := testing.AllocsPerRun(1000, func() { f.publish("client.0", 1) })
	require.LessOrEqual(t, alone, 2.0)
}

// TestWhatAShardNeedsIsOneCacheLine: on the 64-bit processors that serve many
// clients.
func TestWhatAShardNeedsIsOneCacheLine(t *testing.T) {
	const cacheLine = 64
	var s Subscription
	require.Zero(t, unsafe.Sizeof(s)%cacheLine)
	require.LessOrEqual(t, unsafe.Offsetof(s.rest), uintptr(cacheLine))
}
