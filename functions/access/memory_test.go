package access_test

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"sluice/functions/access"
)

// limitMemory sets GOMEMLIMIT for the rest of the test.
func limitMemory(t *testing.T, bytes int64) {
	t.Helper()
	before := debug.SetMemoryLimit(bytes)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
}

func TestNobodyIsAdmittedNearTheMemoryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := access.NewGate(access.Config{MaxConnections: 2})
		there := admit(t, g)
		runtime.GC() // what lives is known only after a collection
		limitMemory(t, 1<<10)
		refused(t, g, access.LowMemory)
		refused(t, g, access.LowMemory)

		debug.SetMemoryLimit(math.MaxInt64)
		second := admit(t, g)
		refused(t, g, access.TooManyConnections)
		second.Release()
		there.Release()
		admit(t, g)
		admit(t, g)
	})
}

func TestAFarMemoryLimitRefusesNobody(t *testing.T) {
	g := access.NewGate(access.Config{})
	limitMemory(t, 1<<40)
	admit(t, g)
}

// TestMemoryIsAskedForOnceInAWhile: asking the runtime is not for every
// request.
func TestMemoryIsAskedForOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := access.NewGate(access.Config{})
		runtime.GC()
		limitMemory(t, 1<<10)
		refused(t, g, access.LowMemory)
		debug.SetMemoryLimit(1 << 40)
		refused(t, g, access.LowMemory)
		pass(time.Second)
		admit(t, g)
	})
}
