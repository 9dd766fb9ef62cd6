package ring

import (
	"container/heap"

	"sluice/publisher/event"
)

// waiter waits for a position in the log that the ring is of.
type waiter struct {
	seq     uint64
	reached chan struct{} // closed then
	slot    int           // in the heap; none when it has left that
}

const none = -1

// waiters is a heap of them, the lowest position first.
type waiters []*waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].seq < w[j].seq }
func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].slot, w[j].slot = i, j
}

func (w *waiters) Push(x any) {
	x.(*waiter).slot = len(*w)
	*w = append(*w, x.(*waiter))
}

func (w *waiters) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	x.slot = none
	return x
}

// Reach returns a channel that is closed when the ring has come to pos, or is of
// another log. No event before that wakes who waits. The caller calls forget when
// it waits no more.
func (r *Ring) Reach(pos event.ID) (reached <-chan struct{}, forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &waiter{seq: pos.Seq, reached: make(chan struct{}), slot: none}
	if pos.Epoch != r.pos.Epoch || pos.Seq <= r.pos.Seq {
		close(w.reached)
		return w.reached, func() {}
	}
	heap.Push(&r.waiting, w)
	return w.reached, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if w.slot != none {
			heap.Remove(&r.waiting, w.slot)
		}
	}
}

// move notes the position, and returns those who have waited for it; the caller
// wakes them when it has given the lock back.
func (r *Ring) move(pos event.ID) (due waiters) {
	another := pos.Epoch != r.pos.Epoch
	r.pos = pos
	for len(r.waiting) > 0 && (another || r.waiting[0].seq <= pos.Seq) {
		due = append(due, heap.Pop(&r.waiting).(*waiter))
	}
	if len(r.waiting) == 0 {
		r.waiting = nil
	}
	return due
}

func (w waiters) wake() {
	for _, one := range w {
		close(one.reached)
	}
}
