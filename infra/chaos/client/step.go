package client

import (
	"encoding/json"
	"fmt"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

// system is the data of a system block.
type system struct {
	Type, Resumed, Reason, First string
}

// envelope is a CloudEvents 1.0 envelope.
type envelope struct {
	SpecVersion string `json:"specversion"`
	ID          string
	Subject     string
	Data        json.RawMessage
}

// refused reports whether b says only that the client is to come back later. It
// has an id only if the client sent a cursor.
func refused(b block) bool {
	var s system
	return b.kind == event.TypeSystem && b.id == "" && json.Unmarshal([]byte(b.data), &s) == nil && s.Type == "busy"
}

// step is a block as the book has it.
func (c *Client) step(b block) oracle.Step {
	id, err := event.ParseID(b.id)
	if err != nil {
		return garbled(event.ID{}, fmt.Sprintf("id %q: %v", b.id, err))
	}
	switch b.kind {
	case event.TypeHeartbeat:
		return oracle.Step{ID: id, Kind: oracle.Heartbeat}
	case event.TypeSystem:
		return systemStep(id, b.data)
	case event.TypeData:
		return c.eventStep(id, b)
	}
	return garbled(id, fmt.Sprintf("a block of type %q", b.kind))
}

func garbled(id event.ID, what string) oracle.Step {
	return oracle.Step{ID: id, Kind: oracle.Garbled, Gap: &oracle.GapInfo{Text: what}}
}

func systemStep(id event.ID, data string) oracle.Step {
	var s system
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return garbled(id, fmt.Sprintf("a system block %q: %v", data, err))
	}
	if s.Type != "gap" && s.Resumed != "gap" {
		if s.Type == "open" {
			return oracle.Step{ID: id, Kind: oracle.Opened}
		}
		return oracle.Step{ID: id, Kind: oracle.Told}
	}
	first, err := event.ParseID(s.First)
	if err != nil || first.Epoch != id.Epoch || first.Seq != id.Seq+1 {
		return garbled(id, fmt.Sprintf("a gap whose id is not just before its first: %q", data))
	}
	return oracle.Step{ID: id, Kind: oracle.Gap, Gap: &oracle.GapInfo{Reason: s.Reason}}
}

func (c *Client) eventStep(id event.ID, b block) oracle.Step {
	data := []byte(b.data)
	var e envelope
	if c.Kind.CloudEvents {
		if err := json.Unmarshal(data, &e); err != nil || e.SpecVersion != "1.0" || e.ID != b.id {
			return garbled(id, fmt.Sprintf("not the envelope of event %s: %.80s", b.id, b.data))
		}
		data = e.Data
	}
	key, topic, err := load.Parse(data)
	if err != nil {
		return garbled(id, err.Error())
	}
	if c.Kind.CloudEvents && e.Subject != load.Topics()[topic] {
		return garbled(id, fmt.Sprintf("the envelope says topic %s, the event %s", e.Subject, load.Topics()[topic]))
	}
	return oracle.Step{ID: id, Kind: oracle.Event, Key: key, Topic: int16(topic)}
}
