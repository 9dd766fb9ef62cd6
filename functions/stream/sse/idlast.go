package sse

import (
	"bytes"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// Format is a wire format, with what is said in place of a stream.
type Format interface {
	wire.Wire
	// Busy is the block of Encoder.AppendBusy.
	Busy(cursor string, why wire.Reason, message string, retry time.Duration) []byte
	// Away is the block of Encoder.AppendAway.
	Away(cursor string, retry time.Duration) []byte
}

// IDLast is a format whose blocks have their id line as the last one, for clients
// that keep an id as soon as they have read its line: wherever their connection
// is cut inside a block, they still have the id before it. The bytes of a block
// are those of Format in another order, so it costs no second rendering.
type IDLast struct{ Format }

// blockEnd ends every block, and is nowhere else in one: each line of a payload
// begins with a field's name.
const blockEnd = "\n\n"

// Event is part of wire.Wire.
func (l IDLast) Event(m wire.Message) ([]byte, wire.Flaw) {
	block, flaw := l.Format.Event(m)
	return idLast(block), flaw
}

// Gap is part of wire.Wire.
func (l IDLast) Gap(before event.ID, g wire.Gap) []byte { return idLast(l.Format.Gap(before, g)) }

// Merge is part of wire.Wire.
func (l IDLast) Merge(margin int, frames []wire.Frame) []byte {
	b := l.Format.Merge(margin, frames)
	idLast(b[margin:])
	return b
}

// Open is part of wire.Wire.
func (l IDLast) Open(at event.ID, o wire.Open) []byte { return idLast(l.Format.Open(at, o)) }

// Heartbeat is part of wire.Wire.
func (l IDLast) Heartbeat(at event.ID, now time.Time, clients int) []byte {
	return idLast(l.Format.Heartbeat(at, now, clients))
}

// Bye is part of wire.Wire.
func (l IDLast) Bye(at event.ID, why wire.Reason, retry time.Duration) []byte {
	return idLast(l.Format.Bye(at, why, retry))
}

// Busy is part of Format.
func (l IDLast) Busy(cursor string, why wire.Reason, message string, retry time.Duration) []byte {
	return idLast(l.Format.Busy(cursor, why, message, retry))
}

// Away is part of Format.
func (l IDLast) Away(cursor string, retry time.Duration) []byte {
	return idLast(l.Format.Away(cursor, retry))
}

// idLast moves the id line of each block of b to the block's end, in b.
func idLast(b []byte) []byte {
	for rest := b; ; {
		end := bytes.Index(rest, []byte(blockEnd))
		if end < 0 {
			return b
		}
		end += len(blockEnd)
		moveID(rest[:end])
		rest = rest[end:]
	}
}

// moveID moves the first line of a block before its blank line, if it is the id.
func moveID(block []byte) {
	if !bytes.HasPrefix(block, []byte(idField)) {
		return
	}
	var room [len(idField) + event.IDBytes + 1]byte // enough for an id of ours
	line := append(room[:0], block[:bytes.IndexByte(block, '\n')+1]...)
	n := copy(block, block[len(line):len(block)-1])
	copy(block[n:], line)
}
