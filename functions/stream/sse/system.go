package sse

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"sluice/publisher/event"
)

// Reason says why a gap or a drain is.
type Reason string

// The reasons of a gap.
const (
	ReasonExpired   Reason = "expired"   // retention removed what was asked; on at the oldest kept event
	ReasonRecreated Reason = "recreated" // the JetStream stream is another one; on at its oldest event
	ReasonAhead     Reason = "ahead"     // the cursor is beyond the end of the log; on live
	ReasonUnknown   Reason = "unknown"   // the cursor is none of ours; on live
)

// The reasons of a drain.
const (
	ReasonShutdown Reason = "shutdown" // the instance goes away
	ReasonMaxAge   Reason = "max_age"  // the connection reached its age limit
)

// The types of system blocks, as System.Type has them.
const (
	SystemOpen    = "open"
	SystemGap     = "gap"
	SystemDrain   = "drain"
	SystemExpired = "expired"
	SystemBusy    = "busy"
)

// What Open.Resumed says.
const (
	ResumedNone     = "none"     // the client did not ask to resume
	ResumedComplete = "complete" // nothing is known to be missing yet
	ResumedGap      = "gap"      // events are missing, as Open.Gap says
)

// MaxRequestedBytes is how much of a cursor a gap repeats at most, in bytes.
const MaxRequestedBytes = 128

// Open is the first block of a connection.
type Open struct {
	Resumed string // ResumedNone or ResumedComplete; a Gap makes it ResumedGap
	Gap     *Gap   // nil when nothing is known to be missing
}

// Gap says what a client asked for and cannot have.
type Gap struct {
	Reason    Reason
	Requested string    // the cursor as the client sent it, of any length and content
	First     *event.ID // the next event it can have; nil when it goes on live
}

// Drain says that the connection ends and why; the client is to come back.
type Drain struct{ Reason Reason }

// System is the data of a system block as JSON: what a client reads.
type System struct {
	Type      string `json:"type"`
	Message   string `json:"message"` // for people
	Resumed   string `json:"resumed,omitempty"`
	Reason    Reason `json:"reason,omitempty"`
	Requested string `json:"requested,omitempty"` // at most MaxRequestedBytes
	First     string `json:"first,omitempty"`     // an event id
}

var gapMessages = map[Reason]string{
	ReasonExpired:   "events are missing: the log no longer keeps all that was asked for; continuing at the oldest kept event",
	ReasonRecreated: "events may be missing: the log was recreated; continuing at its oldest event",
	ReasonAhead:     "events may be missing: the requested position is beyond the end of the log; continuing live",
	ReasonUnknown:   "events may be missing: the requested position is not an event id of this log; continuing live",
}

var drainMessages = map[Reason]string{
	ReasonShutdown: "the server is going away; reconnect to resume",
	ReasonMaxAge:   "the connection reached its age limit; reconnect to resume",
}

// AppendOpen appends the block that begins every connection. id is the accepted
// cursor, for a fresh client the position where it was registered, after a gap
// the position just before its first event.
func (e *Encoder) AppendOpen(b []byte, id event.ID, o Open) []byte {
	s := System{Type: SystemOpen, Message: "connected; the events follow", Resumed: o.Resumed}
	if o.Resumed == ResumedComplete {
		s.Message = "resumed; the events since the requested position follow"
	}
	if o.Gap != nil {
		s.Resumed = ResumedGap
		s.tell(*o.Gap)
	}
	return e.appendSystem(b, &id, 0, s)
}

// AppendGap appends the block of a gap found later. id is the position just
// before the next event that the client will get.
func (e *Encoder) AppendGap(b []byte, id event.ID, g Gap) []byte {
	s := System{Type: SystemGap}
	s.tell(g)
	return e.appendSystem(b, &id, 0, s)
}

// AppendDrain appends the block before the edge ends a connection. id is the
// position up to which the client has everything, retry the time after which it
// is to come back; 0 means the encoder's.
func (e *Encoder) AppendDrain(b []byte, id event.ID, d Drain, retry time.Duration) []byte {
	return e.appendSystem(b, &id, retry, System{Type: SystemDrain, Message: drainMessages[d.Reason], Reason: d.Reason})
}

// AppendBusy appends the only block of a connection over a limit. id is the
// request's own cursor, nil when it has none; retry as in AppendDrain.
func (e *Encoder) AppendBusy(b []byte, id *event.ID, retry time.Duration) []byte {
	return e.appendSystem(b, id, retry, System{Type: SystemBusy, Message: "the server is at a limit; reconnect later"})
}

// AppendExpired appends the block before a connection ends whose token ran out.
// id is the position up to which the client has everything.
func (e *Encoder) AppendExpired(b []byte, id event.ID) []byte {
	return e.appendSystem(b, &id, 0, System{Type: SystemExpired, Message: "the token expired; reconnect with a new one"})
}

// AppendHeartbeat appends a heartbeat: the time t, the number of clients of the
// whole fleet, and as id the position up to which the client has everything.
func (e *Encoder) AppendHeartbeat(b []byte, id event.ID, t time.Time, clients int) []byte {
	var room [96]byte
	data := t.UTC().AppendFormat(append(room[:0], `{"timestamp":"`...), time.RFC3339)
	data = strconv.AppendInt(append(data, `","clients":`...), int64(clients), 10)
	return e.AppendBlock(b, &id, event.TypeHeartbeat, 0, append(data, '}'))
}

// tell adds the fields of g.
func (s *System) tell(g Gap) {
	s.Message, s.Reason, s.Requested = gapMessages[g.Reason], g.Reason, clipRequested(g.Requested)
	if g.First != nil {
		s.First = g.First.String()
	}
}

func (e *Encoder) appendSystem(b []byte, id *event.ID, retry time.Duration, s System) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic("sse: a struct of strings did not marshal: " + err.Error())
	}
	return e.AppendBlock(b, id, event.TypeSystem, retry, data)
}

// clipRequested makes a client's own text fit to be sent back: short and UTF-8.
// What it holds beyond that, JSON escapes, HTML's special characters too.
func clipRequested(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), MaxRequestedBytes)], "?")
}
