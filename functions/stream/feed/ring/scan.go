package ring

import (
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const (
	// ScanFrames is how many frames a scan matches in one go, at most.
	ScanFrames = 512
	// readFrames is how many frames one Read without a matcher gives, at most.
	readFrames = 2048
	// copyFrames is how many frames are copied under the lock at a time: so long
	// the reader may wait for it.
	copyFrames = 64
)

// Matcher says which topics a client wants. The ring's lock is not held
// meanwhile.
type Matcher interface{ Match(topic string) bool }

// Read appends to dst the frames from index from on, below index to and up to
// about maxBytes, that m matches; gaps always match, and a nil m matches all.
// With an m it looks at ScanFrames frames at most. upTo is the index after the
// last one looked at and pos the position there. ok is false when the ring does
// not go back to from.
func (r *Ring) Read(dst []wire.Frame, from, to uint64, maxBytes int, m Matcher) (frames []wire.Frame, upTo uint64, pos event.ID, ok bool) {
	most := uint64(readFrames)
	if m != nil {
		most = ScanFrames
	}
	if to > from {
		to = min(to, from+most)
	}
	for upTo = from; ; {
		kept := len(dst)
		copied, before, after, ok := r.copyOut(dst, upTo, to, maxBytes)
		if !ok {
			return dst, upTo, pos, upTo > from // what it has lost meanwhile, the next call finds missing
		}
		for i := kept; i < len(copied); i++ {
			f := &copied[i]
			if m == nil || f.IsGap() || m.Match(f.Topic) {
				if maxBytes -= len(f.Block); maxBytes < 0 && kept > 0 {
					clear(copied[kept:])
					return copied[:kept], upTo, before, true
				}
				if kept < i {
					copied[kept] = *f
				}
				kept++
			}
			upTo++
			before = f.ID
		}
		none := len(copied) == len(dst)
		clear(copied[kept:])
		dst, pos = copied[:kept], after
		if none || upTo == to {
			return dst, upTo, pos, true
		}
	}
}

// copyOut appends to dst the next frames below index to, until their blocks are
// longer than that many bytes. before and after are the positions around them; ok
// is false when the ring does not go back to index from.
func (r *Ring) copyOut(dst []wire.Frame, from, to uint64, bytes int) (frames []wire.Frame, before, after event.ID, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from < r.first {
		return dst, before, after, false
	}
	before = r.positionAt(from)
	for to = min(to, r.next, from+copyFrames); from < to && bytes >= 0; from++ {
		f := r.at(from)
		dst = append(dst, *f)
		bytes -= len(f.Block)
	}
	return dst, before, r.positionAt(from), true
}

// Last is the position before the newest n events that m matches. It calls
// pause after each ScanFrames frames; an error of that ends it.
func (r *Ring) Last(n int, m Matcher, pause func() error) (event.ID, error) {
	for {
		pos, ok, err := r.countBack(n, m, pause)
		if ok || err != nil {
			return pos, err
		}
	}
}

// mark is what counting back needs of a frame.
type mark struct {
	id    event.ID
	topic string // "" for a gap
}

// countBack is Last in one section; ok is false when that has ended meanwhile.
func (r *Ring) countBack(n int, m Matcher, pause func() error) (pos event.ID, ok bool, err error) {
	r.mu.RLock()
	at, section, pos := r.next, r.section, r.pos
	r.mu.RUnlock()
	var room [copyFrames]mark
	for looked := 0; n > 0; {
		if looked >= ScanFrames {
			if err := pause(); err != nil {
				return pos, false, err
			}
			looked = 0
		}
		marks, before, ok := r.marksBelow(room[:0], at, section)
		if !ok || len(marks) == 0 {
			return pos, ok, nil
		}
		for i := len(marks) - 1; i >= 0 && n > 0; i-- {
			if topic := marks[i].topic; topic != "" && m.Match(topic) {
				n--
				if pos = before; i > 0 {
					pos = marks[i-1].id
				}
			}
		}
		at -= uint64(len(marks))
		looked += len(marks)
	}
	return pos, true, nil
}

// marksBelow appends to dst the marks of the frames of a section just below an
// index, in their order. before is the position before them; ok is false when
// the section has ended.
func (r *Ring) marksBelow(dst []mark, below, section uint64) (marks []mark, before event.ID, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.section != section {
		return dst, before, false
	}
	oldest := max(r.first, section)
	from := max(oldest, below-min(below, copyFrames))
	if before = r.floor; from > oldest {
		before = r.at(from - 1).ID
	}
	for ; from < below; from++ {
		f := r.at(from)
		dst = append(dst, mark{f.ID, f.Topic})
	}
	return dst, before, true
}
