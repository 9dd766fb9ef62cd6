package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAQuietStreamLives through a silence of several STALL_TIMEOUT, over each
// way and protocol: nothing is written, so nothing stalls.
func TestAQuietStreamLives(t *testing.T) {
	const stall = 300 * time.Millisecond
	for _, tt := range []struct {
		name   string
		direct string
		h2c    bool
	}{
		{"HTTP/1.1, direct", "true", false},
		{"HTTP/1.1 through net/http", "false", false},
		{"h2c", "true", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := r.edge(t, "DIRECT", tt.direct, "STALL_TIMEOUT", stall.String(), "HEARTBEAT_INTERVAL", "1h")
			c := e.Open("/stream?topic=a", tt.h2c)
			for range 2 { // the silence after the open block, and that after an event
				block, ok := c.Next()
				require.True(t, ok, "%v", c.Err())
				assert.NotEmpty(t, block.Data)
				c.Silent(5 * stall)
				r.log.Publish("a")
			}
			block, ok := c.Next()
			require.True(t, ok, "%v", c.Err())
			assert.Equal(t, r.log.Last().Data, block.Data)
			require.Empty(t, e.ends("a"))
		})
	}
}
