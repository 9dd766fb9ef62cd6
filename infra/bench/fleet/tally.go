package fleet

import (
	"bytes"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/infra/bench/stamp"
	"sluice/publisher/event"
)

const (
	// tailBytes is what a client keeps of a body that was read up to the middle
	// of an event:
	// an id and the stamp after it must be in it together.
	tailBytes = 160
	// MaxLatency is the longest time that a histogram holds; longer ones count
	// as this.
	MaxLatency = time.Minute
)

// NewHistogram is for times from 1 µs to MaxLatency, in nanoseconds, with
// three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(MaxLatency), 3)
}

// Record enters a time into h.
func Record(h *hdrhistogram.Histogram, d int64) {
	_ = h.RecordValue(max(0, min(d, int64(MaxLatency)))) // in range: cannot fail
}

// client is the state of one connection that matters for counting.
type client struct {
	response response
	topic    int
	next     uint32 // number of the event that must come next
	lastID   uint64 // log position of the last event, 0 for none
	goal     uint32 // number of the event with which it has caught up; 0 for none
	since    int64  // when it began to catch up
	tailLen  int
	tail     [tailBytes]byte
}

// tally counts for all clients.
type tally struct {
	ids      bool  // the events have Sluice's ids
	from, to int64 // scheduled times that are measured, Unix nanoseconds
	latency  *hdrhistogram.Histogram
	recovery *hdrhistogram.Histogram

	deliveries uint64
	bytes      uint64 // of bodies
	skipped    uint64 // events passed over
	again      uint64 // events that came twice or out of order
	badIDs     uint64 // absent, foreign or not rising

	prefix [idPrefix]byte // what all ids begin with
	idBack int            // bytes from the start of an id's line to the marker after it
}

func newTally(ids bool) *tally {
	return &tally{ids: ids, latency: NewHistogram(), recovery: NewHistogram()}
}

// scan takes the next n bytes of c's body, which are in buf after tailBytes that
// scan overwrites.
func (t *tally) scan(c *client, buf []byte, n int, now int64) {
	b := buf[tailBytes-c.tailLen : tailBytes+n]
	copy(b, c.tail[:c.tailLen])
	t.bytes += uint64(n)
	last := 0
	for {
		s, start, end := stamp.Next(b[last:])
		if end < 0 {
			break
		}
		t.event(c, s, b[last:last+start], now)
		last += end
	}
	c.tailLen = copy(c.tail[:], b[max(last, len(b)-tailBytes):])
}

// event counts one event; before is what came between the last one and it.
func (t *tally) event(c *client, s stamp.Stamp, before []byte, now int64) {
	t.deliveries++
	if t.ids {
		if id, ok := t.id(before); !ok || id <= c.lastID {
			t.badIDs++
		} else {
			c.lastID = id
		}
	}
	if s.Seq < c.next {
		t.again++
		return
	}
	t.skipped += uint64(s.Seq - c.next)
	c.next = s.Seq + 1
	if s.At >= t.from && s.At < t.to {
		Record(t.latency, now-s.At)
	}
	if c.goal != 0 && s.Seq >= c.goal {
		c.goal = 0
		Record(t.recovery, now-c.since)
	}
}

// An event id as text is a part that is the same in all of a log with fewer
// than 2^48 events, and 12 hexadecimal digits.
const (
	idPrefix = event.IDBytes - idDigits
	idDigits = 12
)

var idField = []byte("id: ")

// id is the log position in the id line before an event's data.
func (t *tally) id(before []byte) (uint64, bool) {
	i := len(before) - t.idBack
	if i < 0 || !bytes.HasPrefix(before[i:], idField) {
		if i = bytes.LastIndex(before, idField); i < 0 {
			return 0, false
		}
		t.idBack = len(before) - i
	}
	text := before[i+len(idField):]
	if len(text) < event.IDBytes {
		return 0, false
	}
	text = text[:event.IDBytes]
	if t.prefix[0] == 0 {
		if _, err := event.ParseID(string(text)); err != nil {
			return 0, false
		}
		copy(t.prefix[:], text)
	}
	if string(text[:idPrefix]) != string(t.prefix[:]) {
		return 0, false
	}
	var v uint64
	for _, c := range text[idPrefix:] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint64(digit)
	}
	return v, true
}

// cursor is the id of a log position.
func (t *tally) cursor(position uint64) string {
	const digits = "0123456789abcdef"
	b := append([]byte(nil), t.prefix[:]...)
	for shift := 4 * (idDigits - 1); shift >= 0; shift -= 4 {
		b = append(b, digits[position>>shift&0xf])
	}
	return string(b)
}
