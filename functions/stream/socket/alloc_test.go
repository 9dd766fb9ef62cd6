//go:build !race

package socket_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/socket"
)

// The race detector allocates on its own, hence the build constraint.
func TestAJoinIsOneAllocation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames []wire.Frame
	}{
		{"one frame", []wire.Frame{frame("a", "", "1")}},
		{"many", []wire.Frame{frame("a", "", strings.Repeat("x", 1000)), frame("b", "order.v1", ""), frame("c", "", "\n\n")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			once, twice := socket.Chunked{Wire: plain}, socket.Chunked{Wire: socket.Chunked{Wire: plain}}
			assert.Equal(t, 1.0, testing.AllocsPerRun(20, func() { once.Merge(0, tt.frames) }))
			assert.Equal(t, 1.0, testing.AllocsPerRun(20, func() { once.Merge(64, tt.frames) }))
			assert.Equal(t, 1.0, testing.AllocsPerRun(20, func() { twice.Merge(0, tt.frames) }), "chunks in chunks")
		})
	}
}
