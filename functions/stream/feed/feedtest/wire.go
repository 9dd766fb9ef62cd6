package feedtest

import (
	"fmt"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// Wire is a wire format for events and gaps only: an event's block is its
// payload, a gap's its reason.
type Wire struct{ wire.Wire }

// Event is part of wire.Wire.
func (Wire) Event(m wire.Message) ([]byte, wire.Flaw) { return append([]byte(nil), m.Data...), 0 }

// Gap is part of wire.Wire.
func (Wire) Gap(_ event.ID, g wire.Gap) []byte { return []byte(g.Reason) }

// Told says what frames made with Wire tell: "SEQ TOPIC" for an event, "gap
// REASON to SEQ" for a gap.
func Told(frames []wire.Frame) (all []string) {
	for i := range frames {
		f := &frames[i]
		if f.IsGap() {
			all = append(all, fmt.Sprintf("gap %s to %d", f.Block, f.ID.Seq))
		} else {
			all = append(all, fmt.Sprintf("%d %s", f.ID.Seq, f.Topic))
		}
	}
	return all
}
