package feed

import (
	"sort"
	"sync"

	"sluice/publisher/event"
)

// ring keeps the newest frames. Frames are addressed by an index that counts
// up for the life of the process, whatever happens to the log; positions
// (event ids) rise within one section, and a new section begins where the log
// was recreated or went back.
type ring struct {
	maxEvents int
	maxBytes  int64

	mu      sync.RWMutex
	buf     []frame // circular, a power of two long
	first   uint64  // index of the oldest kept frame
	next    uint64  // index of the frame to come
	section uint64  // first index of the current section
	bytes   int64
	floor   event.ID      // position scanned before the first kept frame of the section
	pos     event.ID      // position scanned through
	moved   chan struct{} // closed when pos moves, if somebody waits
}

func newRing(maxEvents int, maxBytes int64) *ring {
	return &ring{maxEvents: maxEvents, maxBytes: maxBytes, buf: make([]frame, 64)}
}

func (r *ring) at(i uint64) *frame { return &r.buf[i&uint64(len(r.buf)-1)] }

// begin starts a section at pos: what is asked for below it is not here.
func (r *ring) begin(pos event.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.section, r.floor = r.next, pos
	r.move(pos)
}

// append adds the next frame and forgets the oldest ones over the limits; the
// newest one always stays.
func (r *ring) append(f frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.push(f)
}

// restart begins a section with the gap that tells of it.
func (r *ring) restart(gap frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.section, r.floor = r.next, gap.id
	r.push(gap)
}

func (r *ring) push(f frame) {
	if r.next-r.first == uint64(len(r.buf)) {
		r.grow()
	}
	f.index = r.next
	*r.at(r.next) = f
	r.next++
	r.bytes += f.cost
	for r.next-r.first > uint64(r.maxEvents) || r.bytes > r.maxBytes && r.next-r.first > 1 {
		old := r.at(r.first)
		if r.first >= r.section {
			r.floor = old.id
		}
		r.bytes -= old.cost
		*old = frame{}
		r.first++
	}
	r.move(f.id)
}

func (r *ring) grow() {
	bigger := make([]frame, 2*len(r.buf))
	for i := r.first; i < r.next; i++ {
		bigger[i&uint64(len(bigger)-1)] = *r.at(i)
	}
	r.buf = bigger
}

// advance moves the position on without a frame.
func (r *ring) advance(pos event.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pos.Epoch == r.pos.Epoch && pos.Seq > r.pos.Seq {
		r.move(pos)
	}
}

func (r *ring) move(pos event.ID) {
	r.pos = pos
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// tail is the index of the frame to come and the position before it.
func (r *ring) tail() (next uint64, pos event.ID) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.next, r.pos
}

// wait returns the position and a channel that is closed when it moves.
func (r *ring) wait() (pos event.ID, moved <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	return r.pos, r.moved
}

// locate is the index of the first frame behind pos. ok is false when the ring
// does not go back that far or pos is of another section. A pos above the
// ring's own gives the tail.
func (r *ring) locate(pos event.ID) (index uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if pos.Epoch != r.pos.Epoch || pos.Seq < r.floor.Seq {
		return 0, false
	}
	return r.search(func(f *frame) bool { return f.id.Seq > pos.Seq }), true
}

// since is the position before the first frame stored at t (Unix nanoseconds)
// or later. ok is false when earlier ones of the log may match too.
func (r *ring) since(t int64) (pos event.ID, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := max(r.first, r.section)
	i := r.search(func(f *frame) bool { return f.time >= t })
	if i == from {
		return event.ID{}, false
	}
	return r.at(i - 1).id, true
}

// last is the position before the newest n events of the topics.
func (r *ring) last(n int, topics *Topics) event.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from, pos := max(r.first, r.section), r.pos
	for i := r.next; i > from && n > 0; i-- {
		if f := r.at(i - 1); !f.isGap() && topics.Match(f.topic) {
			n--
			pos = r.before(i-1, from)
		}
	}
	return pos
}

// before is the position just before the frame at i.
func (r *ring) before(i, from uint64) event.ID {
	if i == from {
		return r.floor
	}
	return r.at(i - 1).id
}

// search is the first index of the section whose frame is true of after, which
// rises from false to true.
func (r *ring) search(after func(*frame) bool) uint64 {
	from := max(r.first, r.section)
	n := sort.Search(int(r.next-from), func(i int) bool { return after(r.at(from + uint64(i))) })
	return from + uint64(n)
}

// read appends to dst the frames from index from on, below index to and up to
// about maxBytes, of which match is true (all when it is nil). upTo is the
// index behind the last one looked at and pos the position there. ok is false
// when the ring does not go back to from.
func (r *ring) read(dst []frame, from, to uint64, maxBytes int, match *Topics) (frames []frame, upTo uint64, pos event.ID, ok bool) {
	// scan bounds how long the reader waits for the lock.
	const scan = 2048
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from < r.first {
		return dst, from, event.ID{}, false
	}
	to = min(to, r.next, from+scan)
	bytes := 0
	for upTo = from; upTo < to; upTo++ {
		f := r.at(upTo)
		if match != nil && !f.isGap() && !match.Match(f.topic) {
			continue
		}
		if bytes += len(f.block); bytes > maxBytes && len(dst) > 0 {
			break
		}
		dst = append(dst, *f)
	}
	return dst, upTo, r.positionAt(upTo), true
}

// positionAt is the position before the frame at i, which is where the reader
// stands when i is the tail.
func (r *ring) positionAt(i uint64) event.ID {
	switch {
	case i == r.next:
		return r.pos
	case i > r.first:
		return r.at(i - 1).id
	}
	return r.floor
}
