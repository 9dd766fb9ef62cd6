//go:build unix && !linux

package socket

import (
	"sync"

	"sluice/functions/stream/feed/fanout"
)

// Watch notices that clients close their connections, with a goroutine for
// each.
type Watch struct{ tasks sync.WaitGroup }

type ticket struct{}

// Add cuts sub when the client on conn closes its connection. What the client
// sends is thrown away.
func (w *Watch) Add(conn *Conn, sub Cutter) {
	w.tasks.Go(func() {
		var waste [8]byte
		for {
			if _, err := conn.conn.Read(waste[:]); err != nil {
				sub.Cut(fanout.ErrGone)
				return
			}
		}
	})
}

func (w *Watch) remove(*Conn) {}

// Close returns when all clients are gone.
func (w *Watch) Close() { w.tasks.Wait() }
