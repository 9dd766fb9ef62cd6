package stream_test

import (
	"net/http"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestAdmissionStopsBeforeMemoryDoes: near GOMEMLIMIT new clients are refused
// and those that are there go on.
func TestAdmissionStopsBeforeMemoryDoes(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		there := r.live(t)

		limit := debug.SetMemoryLimit(1 << 20)
		defer debug.SetMemoryLimit(limit)
		code := func() int {
			c, err := streamtest.Connect(r.edge.URL, streamtest.Query{Params: status})
			require.NoError(t, err)
			defer c.Close()
			if c.Response.StatusCode != http.StatusOK {
				assertError(t, "low_memory", c.Response)
				assert.NotEmpty(t, c.Response.Header.Get("Retry-After"))
			}
			return c.Response.StatusCode
		}
		require.Equal(t, http.StatusServiceUnavailable, code())
		r.open(t, streamtest.Query{}).System(t, "busy")
		assert.Equal(t, r.log.Publish("a").Data, there.Event(t).Data)

		debug.SetMemoryLimit(limit)
		require.Eventually(t, func() bool { return code() == http.StatusOK }, natstest.Patience, 10*time.Millisecond)
	})
}
