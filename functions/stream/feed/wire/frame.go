package wire

import (
	"bytes"
	"time"

	"sluice/publisher/event"
)

// Frame is one step of the log as the ring keeps it: an event, or a gap, which
// has no topic and goes to everyone. A gap's ID is the position just before
// the next event.
type Frame struct {
	Index uint64 // in the ring, which sets it
	ID    event.ID
	Time  int64  // store time, or a gap's discovery, Unix nanoseconds
	Topic string // "" for a gap
	Type  string // Event-Type as published
	Data  []byte // as published; shares memory with Block where it can
	Block []byte // as the feed's Wire renders it
	Cost  int64  // what it counts against the ring's bytes
}

// frameOverhead is what a frame costs in memory beside its bytes.
const frameOverhead = 160

// NewFrame renders m once for all clients.
func NewFrame(w Wire, m *Message) (Frame, Flaw) {
	block, flaw := w.Event(*m)
	f := Frame{ID: m.ID, Time: m.Time.UnixNano(), Topic: m.Topic, Type: m.Header, Data: m.Data, Block: block}
	f.Cost = int64(len(block)+len(m.Data)) + frameOverhead
	if i := bytes.Index(block, m.Data); i >= 0 {
		f.Data = block[i : i+len(m.Data) : i+len(m.Data)]
		f.Cost -= int64(len(m.Data))
	}
	return f, flaw
}

// NewGap is the frame that says that what is between after and before is lost.
func NewGap(w Wire, reason Reason, after, before event.ID) Frame {
	block := w.Gap(before, GapBetween(reason, after, before))
	return Frame{ID: before, Time: time.Now().UnixNano(), Block: block, Cost: int64(len(block)) + frameOverhead}
}

// IsGap tells a gap from an event.
func (f *Frame) IsGap() bool { return f.Topic == "" }

// Message is the event as it was published.
func (f *Frame) Message() *Message {
	return &Message{ID: f.ID, Topic: f.Topic, Header: f.Type, Data: f.Data, Time: time.Unix(0, f.Time)}
}

// Size is the number of bytes of the frames' blocks.
func Size(frames []Frame) (bytes int) {
	for i := range frames {
		bytes += len(frames[i].Block)
	}
	return bytes
}

// Chunk is a run of frames that a replay gives.
type Chunk struct {
	Frames []Frame  // events and gaps, in order
	UpTo   event.ID // the position at its end
	Read   int      // events that the log delivered for it, also those that nobody wants
	// Waited says that there is nothing yet, because of the log or of other
	// replays: the client may need a sign of life meanwhile.
	Waited bool
}
