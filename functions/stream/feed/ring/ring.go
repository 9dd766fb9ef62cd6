// Package ring keeps the newest frames of the log in memory, bounded in number
// and in bytes. One reader writes; any number of clients read. No call waits
// for anything but the ring's lock, under which nothing is written, sent or
// matched: what clients look for is copied out in small pieces first.
package ring

import (
	"sort"
	"sync"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// Ring keeps the newest frames. Frames are addressed by an index that counts
// up for the life of the process, whatever happens to the log; positions
// (event ids) rise within one section, and a new section begins where the log
// was recreated or went back.
type Ring struct {
	maxFrames int
	maxBytes  int64

	mu      sync.RWMutex
	buf     []wire.Frame // circular, a power of two long
	first   uint64       // index of the oldest kept frame
	next    uint64       // index of the frame to come
	section uint64       // first index of the current section
	bytes   int64
	floor   event.ID // position scanned before the first kept frame of the section
	pos     event.ID // position scanned through
	waiting waiters  // for positions after pos
}

// New makes an empty ring that keeps at most so many frames, and at most so
// many bytes beyond the newest frame, which always stays.
func New(maxFrames int, maxBytes int64) *Ring {
	return &Ring{maxFrames: maxFrames, maxBytes: maxBytes, buf: make([]wire.Frame, 64)}
}

func (r *Ring) at(i uint64) *wire.Frame { return &r.buf[i&uint64(len(r.buf)-1)] }

// Begin starts a section at pos: what is asked for below it is not here.
func (r *Ring) Begin(pos event.ID) {
	r.change(func() waiters {
		r.section, r.floor = r.next, pos
		return r.move(pos)
	})
}

// Append adds the next frame and forgets the oldest ones over the limits.
func (r *Ring) Append(f wire.Frame) {
	r.mu.Lock()
	due := r.push(&f)
	r.mu.Unlock()
	due.wake()
}

// Restart begins a section with the gap that tells of it.
func (r *Ring) Restart(gap wire.Frame) {
	r.change(func() waiters {
		r.section, r.floor = r.next, gap.ID
		return r.push(&gap)
	})
}

// Advance moves the position on without a frame. A position that is not ahead
// in the same log is ignored.
func (r *Ring) Advance(pos event.ID) {
	r.change(func() waiters {
		if pos.Epoch != r.pos.Epoch || pos.Seq <= r.pos.Seq {
			return nil
		}
		return r.move(pos)
	})
}

func (r *Ring) change(do func() (due waiters)) {
	r.mu.Lock()
	due := do()
	r.mu.Unlock()
	due.wake()
}

func (r *Ring) push(f *wire.Frame) (due waiters) {
	if r.next-r.first == uint64(len(r.buf)) {
		r.grow()
	}
	f.Index = r.next
	*r.at(r.next) = *f
	r.next++
	r.bytes += f.Cost
	for r.next-r.first > uint64(r.maxFrames) || r.bytes > r.maxBytes && r.next-r.first > 1 {
		old := r.at(r.first)
		if r.first >= r.section {
			r.floor = old.ID
		}
		r.bytes -= old.Cost
		*old = wire.Frame{}
		r.first++
	}
	return r.move(f.ID)
}

func (r *Ring) grow() {
	bigger := make([]wire.Frame, 2*len(r.buf))
	for i := r.first; i < r.next; i++ {
		bigger[i&uint64(len(bigger)-1)] = *r.at(i)
	}
	r.buf = bigger
}

// Tail is the index of the frame to come and the position before it.
func (r *Ring) Tail() (next uint64, pos event.ID) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.next, r.pos
}

// Position is the position up to which the log has been scanned.
func (r *Ring) Position() event.ID {
	_, pos := r.Tail()
	return pos
}

// Floor is the position before the oldest event from which the ring can go on.
func (r *Ring) Floor() event.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.floor
}

// Locate is the index of the first frame after pos. ok is false when the ring
// does not go back that far or pos is of another section. A pos above the
// ring's own gives the tail.
func (r *Ring) Locate(pos event.ID) (index uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if pos.Epoch != r.pos.Epoch || pos.Seq < r.floor.Seq {
		return 0, false
	}
	return r.search(func(f *wire.Frame) bool { return f.ID.Seq > pos.Seq }), true
}

// Since is the position before the first frame stored at t (Unix nanoseconds)
// or later. ok is false when earlier ones of the log may match too.
func (r *Ring) Since(t int64) (pos event.ID, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := max(r.first, r.section)
	i := r.search(func(f *wire.Frame) bool { return f.Time >= t })
	if i == from {
		return event.ID{}, false
	}
	return r.at(i - 1).ID, true
}

// search is the first index of the section whose frame is true of after, which
// rises from false to true.
func (r *Ring) search(after func(*wire.Frame) bool) uint64 {
	from := max(r.first, r.section)
	n := sort.Search(int(r.next-from), func(i int) bool { return after(r.at(from + uint64(i))) })
	return from + uint64(n)
}

// positionAt is the position before the frame at i, which is where the reader
// stands when i is the tail.
func (r *Ring) positionAt(i uint64) event.ID {
	switch {
	case i == r.next:
		return r.pos
	case i > r.first:
		return r.at(i - 1).ID
	}
	return r.floor
}
