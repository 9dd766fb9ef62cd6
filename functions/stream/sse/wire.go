package sse

import (
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// An Encoder is the plain wire format.
var _ Format = (*Encoder)(nil)

// Event is part of wire.Wire.
func (e *Encoder) Event(m wire.Message) ([]byte, wire.Flaw) { return e.Append(nil, &m) }

// Gap is part of wire.Wire.
func (e *Encoder) Gap(before event.ID, g wire.Gap) []byte { return e.AppendGap(nil, before, g) }

// Block is part of wire.Wire: it is there already.
func (*Encoder) Block(f *wire.Frame) []byte { return f.Block }

// Merge is part of wire.Wire.
func (e *Encoder) Merge(margin int, frames []wire.Frame) []byte {
	b := make([]byte, margin, margin+wire.Size(frames)+margin)
	for i := range frames {
		b = append(b, frames[i].Block...)
	}
	return b
}

// Open is part of wire.Wire.
func (e *Encoder) Open(at event.ID, o wire.Open) []byte { return e.AppendOpen(nil, at, o) }

// Heartbeat is part of wire.Wire.
func (e *Encoder) Heartbeat(at event.ID, now time.Time, clients int) []byte {
	return e.AppendHeartbeat(nil, at, now, clients)
}

// Bye is part of wire.Wire.
func (e *Encoder) Bye(at event.ID, why wire.Reason, retry time.Duration) []byte {
	if _, expired := expiredMessages[why]; expired {
		return e.AppendExpired(nil, at, why)
	}
	return e.AppendDrain(nil, at, why, retry)
}

// Busy is part of Format.
func (e *Encoder) Busy(cursor string, why wire.Reason, message string, retry time.Duration) []byte {
	return e.AppendBusy(nil, cursor, why, message, retry)
}

// Away is part of Format.
func (e *Encoder) Away(cursor string, retry time.Duration) []byte {
	return e.AppendAway(nil, cursor, retry)
}

// KeepAlive is part of wire.Wire.
func (*Encoder) KeepAlive() []byte { return AppendComment(nil) }

// CloudEvents is the wire format whose events are CloudEvents 1.0 envelopes;
// what the edge itself says is as in the plain one.
type CloudEvents struct{ *Encoder }

// Event is part of wire.Wire.
func (c CloudEvents) Event(m wire.Message) ([]byte, wire.Flaw) {
	return c.AppendCloudEvent(nil, &m)
}

// Block is part of wire.Wire: events are rendered anew.
func (c CloudEvents) Block(f *wire.Frame) []byte {
	if f.IsGap() {
		return f.Block
	}
	b, _ := c.AppendCloudEvent(nil, f.Message())
	return b
}
