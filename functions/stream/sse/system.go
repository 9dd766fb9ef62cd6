package sse

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// The types of system blocks, as System.Type has them.
const (
	SystemOpen    = "open"
	SystemGap     = "gap"
	SystemDrain   = "drain"
	SystemExpired = "expired"
	SystemBusy    = "busy"
)

// MaxRequestedBytes is how much of a cursor a gap repeats at most, in bytes.
const MaxRequestedBytes = 128

// System is the data of a system block as JSON: what a client reads.
type System struct {
	Type      string      `json:"type"`
	Message   string      `json:"message"` // for people
	Resumed   string      `json:"resumed,omitempty"`
	Reason    wire.Reason `json:"reason,omitempty"`
	Requested string      `json:"requested,omitempty"` // at most MaxRequestedBytes
	First     string      `json:"first,omitempty"`     // an event id
	Compacted bool        `json:"compacted,omitempty"` // of the log, in open
}

var gapMessages = map[wire.Reason]string{
	wire.ReasonExpired:   "events are missing: the log no longer keeps all that was asked for; continuing at the oldest kept event",
	wire.ReasonRecreated: "events may be missing: the log was recreated; continuing at its oldest event",
	wire.ReasonAhead:     "events may be missing: the requested position is beyond the end of the log; continuing live",
	wire.ReasonUnknown:   "events may be missing: the requested position is not an event id of this log; continuing live",
	wire.ReasonLimited:   "events are missing: too much of the log was read within an hour; continuing at the oldest event in memory",
}

// compactedMessage follows the message of an open.
const compactedMessage = "; the log keeps only the newest events of each topic: older ones may have been replaced"

var drainMessages = map[wire.Reason]string{
	wire.ReasonShutdown: "the server is going away; reconnect to resume",
	wire.ReasonMaxAge:   "the connection reached its age limit; reconnect to resume",
}

var expiredMessages = map[wire.Reason]string{
	wire.ReasonTokenExpired: "the token expired; reconnect with a new one",
	wire.ReasonRevoked:      "the token was revoked",
}

// AppendOpen appends the block that begins every connection. id is the accepted
// cursor, for a fresh client the position where it was registered, after a gap
// the position just before its first event.
func (e *Encoder) AppendOpen(b []byte, id event.ID, o wire.Open) []byte {
	s := System{Type: SystemOpen, Message: "connected; the events follow", Resumed: o.Resumed}
	if o.Resumed == wire.ResumedComplete {
		s.Message = "resumed; the events since the requested position follow"
	}
	if o.Gap != nil {
		s.Resumed = wire.ResumedGap
		s.tell(*o.Gap)
	}
	if o.Compacted {
		s.Compacted, s.Message = true, s.Message+compactedMessage
	}
	return e.appendSystem(b, idText(id), 0, s)
}

// AppendGap appends the block of a gap found later. id is the position just
// before the next event that the client will get.
func (e *Encoder) AppendGap(b []byte, id event.ID, g wire.Gap) []byte {
	s := System{Type: SystemGap}
	s.tell(g)
	return e.appendSystem(b, idText(id), 0, s)
}

// AppendDrain appends the block before the edge ends a connection. id is the
// position up to which the client has everything, retry the time after which it
// is to come back; 0 means the encoder's.
func (e *Encoder) AppendDrain(b []byte, id event.ID, why wire.Reason, retry time.Duration) []byte {
	return e.appendSystem(b, idText(id), retry, System{Type: SystemDrain, Message: drainMessages[why], Reason: why})
}

// AppendBusy appends the only block of a connection that is not served now: why
// is for programs, message for people. cursor is the id with which the client is
// to come back, any text, "" for a block without an id line. retry as in
// AppendDrain.
func (e *Encoder) AppendBusy(b []byte, cursor string, why wire.Reason, message string, retry time.Duration) []byte {
	return e.appendSystem(b, clipID(cursor), retry, System{Type: SystemBusy, Message: message, Reason: why})
}

// AppendAway appends the only block of a connection to an instance that stops.
// cursor and retry as in AppendBusy.
func (e *Encoder) AppendAway(b []byte, cursor string, retry time.Duration) []byte {
	why := wire.ReasonShutdown
	return e.appendSystem(b, clipID(cursor), retry, System{Type: SystemDrain, Message: drainMessages[why], Reason: why})
}

// AppendExpired appends the block before a connection ends whose token counts no
// longer. id is the position up to which the client has everything.
func (e *Encoder) AppendExpired(b []byte, id event.ID, why wire.Reason) []byte {
	return e.appendSystem(b, idText(id), 0, System{Type: SystemExpired, Message: expiredMessages[why], Reason: why})
}

// AppendHeartbeat appends a heartbeat: the time t, the number of clients of the
// whole fleet, and as id the position up to which the client has everything.
func (e *Encoder) AppendHeartbeat(b []byte, id event.ID, t time.Time, clients int) []byte {
	var room [96]byte
	data := t.UTC().AppendFormat(append(room[:0], `{"timestamp":"`...), time.RFC3339)
	data = strconv.AppendInt(append(data, `","clients":`...), int64(clients), 10)
	var idRoom [event.IDBytes]byte
	return e.appendBlock(b, id.Append(idRoom[:0]), event.TypeHeartbeat, 0, append(data, '}'))
}

// tell adds the fields of g.
func (s *System) tell(g wire.Gap) {
	s.Message, s.Reason, s.Requested = gapMessages[g.Reason], g.Reason, clipRequested(g.Requested)
	if g.First != nil {
		s.First = g.First.String()
	}
}

func (e *Encoder) appendSystem(b, id []byte, retry time.Duration, s System) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic("sse: a struct of strings did not marshal: " + err.Error())
	}
	return e.appendBlock(b, id, event.TypeSystem, retry, data)
}

func idText(id event.ID) []byte { return id.Append(make([]byte, 0, event.IDBytes)) }

// clipID makes a client's own cursor fit for an id line: it stays one that is
// none of ours, so that its client is told so.
func clipID(cursor string) []byte {
	return []byte(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == 0 {
			return '?'
		}
		return r
	}, clipRequested(cursor)))
}

// clipRequested makes a client's own text fit to be sent back: short and UTF-8.
// What it holds beyond that, JSON escapes, HTML's special characters too.
func clipRequested(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), MaxRequestedBytes)], "?")
}
