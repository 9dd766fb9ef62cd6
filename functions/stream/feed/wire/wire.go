package wire

import (
	"time"

	"sluice/publisher/event"
)

// Wire is a wire format. Its blocks are whole: one after the other, in any
// number, they are a valid stream. A Wire is immutable, safe for concurrent
// use, and comparable: clients with equal topics and an equal Wire get the same
// bytes, made once. What a method returns is its caller's to change.
type Wire interface {
	// Event renders an event as a block of its own and says what had to be
	// mended for that. Only a copy of m.Data is kept.
	Event(m Message) (block []byte, flaw Flaw)
	// Gap renders the block of a gap found after the opening. before is the
	// position just before the next event that the client gets.
	Gap(before event.ID, g Gap) []byte
	// Block is the block of a frame in this format. The frame's own is as the
	// feed's Wire (feed.Config.Wire) made it, which gives just that.
	Block(f *Frame) []byte
	// Merge joins frames to one write; their Blocks are as Block gives them.
	// margin bytes are left free in front of the write, and as many of capacity
	// after it.
	Merge(margin int, frames []Frame) []byte

	// Open renders the first block of a connection as one write. at is the
	// accepted cursor, for a fresh client the position where it was registered,
	// after a gap the position just before its first event.
	Open(at event.ID, o Open) []byte
	// Heartbeat renders a heartbeat as one write: the time, the clients of the
	// whole fleet, and the position up to which the client has everything.
	Heartbeat(at event.ID, now time.Time, clients int) []byte
	// Bye renders the last block of a connection as one write. at is the
	// position up to which the client has everything, retry the time after
	// which it is to come back, 0 for the format's own.
	Bye(at event.ID, why Reason, retry time.Duration) []byte
	// KeepAlive renders what dispatches nothing and keeps proxies from taking
	// the connection for dead, as one write.
	KeepAlive() []byte
}

// Message is one event of the log as it was published.
type Message struct {
	ID     event.ID
	Topic  string    // as event.CheckTopic accepts it
	Header string    // the Event-Type header, "" when absent
	Data   []byte    // the payload; only read
	Time   time.Time // when the log stored it
}

// Flaw is a set of what had to be mended to send a message.
type Flaw uint8

// The flaws of a message.
const (
	FlawType Flaw = 1 << iota // Event-Type is reserved or malformed: sent as data
	FlawUTF8                  // the payload is not UTF-8: sent as base64
	FlawSize                  // the payload is too large: sent without its content
)

// Reason says why a gap or the end of a connection is.
type Reason string

// The reasons of a gap.
const (
	ReasonExpired   Reason = "expired"   // retention removed what was asked; on at the oldest kept event
	ReasonRecreated Reason = "recreated" // the JetStream stream is another one; on at its oldest event
	ReasonAhead     Reason = "ahead"     // the cursor is beyond the end of the log; on live
	ReasonUnknown   Reason = "unknown"   // the cursor is none of ours; on live
	ReasonLimited   Reason = "limited"   // the client has read too much of the log; on at the oldest event in memory
)

// The reasons for which the edge ends a connection with a last block.
const (
	ReasonShutdown     Reason = "shutdown"      // the instance goes away
	ReasonMaxAge       Reason = "max_age"       // the connection reached its age limit
	ReasonTokenExpired Reason = "token_expired" // the client's token ran out
	ReasonRevoked      Reason = "revoked"       // its subject or token was revoked
)

// What Open.Resumed says.
const (
	ResumedNone     = "none"     // the client did not ask to resume
	ResumedComplete = "complete" // nothing is known to be missing yet
	ResumedGap      = "gap"      // events are missing, as Open.Gap says
)

// Open is what the first block of a connection says.
type Open struct {
	Resumed string // ResumedNone or ResumedComplete; a Gap makes it ResumedGap
	Gap     *Gap   // nil when nothing is known to be missing
	// Compacted says that the log keeps only the newest events of each topic, so
	// that older ones may be missing without a gap.
	Compacted bool
}

// Gap says what a client asked for and cannot have.
type Gap struct {
	Reason    Reason
	Requested string    // the cursor as the client sent it, of any length and content
	First     *event.ID // the next event it can have; nil when it goes on live
}

// GapBetween is the gap of what is after one position and not after another:
// the next event that the client can have is the first one after before.
func GapBetween(reason Reason, after, before event.ID) Gap {
	first := before
	first.Seq++
	return Gap{Reason: reason, Requested: after.String(), First: &first}
}
