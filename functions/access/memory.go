package access

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// memoryShare of GOMEMLIMIT is what live objects and stacks may take
	// before new streams are refused; the rest is the collector's and the
	// kernel's.
	memoryShare = 0.75
	// memoryEvery is how often the runtime is asked.
	memoryEvery = 250 * time.Millisecond
)

// memory says when no more clients should be admitted. Without a GOMEMLIMIT
// it never does.
type memory struct {
	mu      sync.Mutex
	asked   time.Time
	scarce  bool
	samples []metrics.Sample
}

// low reports whether the process is near its memory limit.
func (m *memory) low() bool {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.asked) > memoryEvery {
		m.asked = now
		if m.samples == nil {
			m.samples = []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		}
		metrics.Read(m.samples)
		used := m.samples[0].Value.Uint64() + m.samples[1].Value.Uint64()
		m.scarce = float64(used) > memoryShare*float64(limit)
	}
	return m.scarce
}
