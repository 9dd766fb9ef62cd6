//go:build unix && !linux

package stream

import (
	"sync"

	"sluice/functions/stream/feed"
)

// watch notices that clients close their connections, with a goroutine for
// each.
type watch struct{ tasks sync.WaitGroup }

type ticket struct{}

// add cuts sub when the client on out closes its connection. What the client
// sends is thrown away.
func (w *watch) add(out *hijacked, sub *feed.Subscription) {
	w.tasks.Go(func() {
		var waste [8]byte
		for {
			if _, err := out.conn.Read(waste[:]); err != nil {
				sub.Cut(feed.ErrGone)
				return
			}
		}
	})
}

func (w *watch) remove(*hijacked) {}

// close returns when all clients are gone.
func (w *watch) close() { w.tasks.Wait() }
