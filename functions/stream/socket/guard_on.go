//go:build assertions

package socket

import "sync/atomic"

// guard finds whoever uses a connection's descriptor after Close: by then the
// number may be another connection's.
type guard struct{ closed atomic.Bool }

func (g *guard) use() {
	if g.closed.Load() {
		panic("socket: a closed connection's descriptor is used")
	}
}

func (g *guard) close() {
	if g.closed.Swap(true) {
		panic("socket: a connection is closed twice")
	}
}
