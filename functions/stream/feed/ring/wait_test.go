package ring

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// waiting is one who waits for a position.
type waiting struct {
	at      event.ID
	reached <-chan struct{}
	forget  func()
}

func (w *waiting) woken() bool {
	select {
	case <-w.reached:
		return true
	default:
		return false
	}
}

// TestWhoWaitsIsWokenAtItsPosition: not at each event before it, and at once
// when the log is another one. Who has forgotten is not kept.
func TestWhoWaitsIsWokenAtItsPosition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New(10, 1<<20)
		pos := event.ID{Epoch: 1}
		r.Begin(pos)
		var all []*waiting
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				at := event.ID{Epoch: pos.Epoch + rapid.Int64Range(-1, 1).Draw(t, "epoch")%2, Seq: rapid.Uint64Range(0, 20).Draw(t, "seq")}
				reached, forget := r.Reach(at)
				w := &waiting{at, reached, forget}
				require.Equal(t, at.Epoch != pos.Epoch || at.Seq <= pos.Seq, w.woken())
				if !w.woken() {
					all = append(all, w)
				}
			},
			"forget": func(t *rapid.T) {
				if len(all) > 0 {
					i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
					all[i].forget()
					all[i].forget()
					all = slices.Delete(all, i, i+1)
				}
			},
			"event": func(t *rapid.T) {
				pos.Seq += rapid.Uint64Range(1, 3).Draw(t, "step")
				r.Append(wire.Frame{ID: pos, Topic: "a"})
			},
			"advance": func(t *rapid.T) {
				pos.Seq++
				r.Advance(pos)
				r.Advance(event.ID{Epoch: pos.Epoch + 1, Seq: 100})
			},
			"restart": func(t *rapid.T) {
				pos = event.ID{Epoch: pos.Epoch + rapid.Int64Range(0, 1).Draw(t, "epoch"), Seq: rapid.Uint64Range(0, 5).Draw(t, "seq")}
				r.Restart(wire.Frame{ID: pos})
			},
			"": func(t *rapid.T) {
				all = slices.DeleteFunc(all, func(w *waiting) bool {
					due := w.at.Epoch != pos.Epoch || w.at.Seq <= pos.Seq
					require.Equal(t, due, w.woken(), "%v at %v", w.at, pos)
					return due
				})
				require.Len(t, r.waiting, len(all))
			},
		})
	})
}
