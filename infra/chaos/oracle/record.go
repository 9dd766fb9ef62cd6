package oracle

import (
	"time"

	"sluice/publisher/event"
)

// Time is a moment of a run, counted from its start.
type Time = time.Duration

// Key names one event of a publisher. A Key is stored once in each stream.
type Key uint64

// Epoch is one life of the stream.
type Epoch struct {
	ID int64
	// From is before the stream was asked for, To after its deletion was
	// answered; 0 while it is there.
	From, To Time
	// Deleting is when its deletion was asked for, 0 while it was not.
	Deleting Time
}

// Ack is what a publisher knows of an event that the log acknowledged.
type Ack struct {
	Key   Key
	Topic int
	Seq   uint64
	// Sent is when the event was first sent, At when the acknowledgement came.
	Sent, At Time
}

// Observation is what the log said of itself. Asked is before the question.
type Observation struct {
	Asked       Time
	Epoch       int64
	First, Last uint64
}

// Removal is the removal of events from the middle of the log, which no first
// sequence shows: those up to Through on a topic, from From on.
type Removal struct {
	From    Time
	Epoch   int64
	Topic   int
	Through uint64
}

// Job is a run of the publisher that said that every event of it was
// acknowledged, with the runs of the same job before it that were killed.
type Job struct {
	Keys        []Key
	Topic       int
	Began, Done Time
}

// Span is a time in which the log may store a message id twice: its duplicate
// window is shorter than a job takes.
type Span struct{ From, To Time }

// Kind is what a block was.
type Kind uint8

// The kinds of steps in a client's trace.
const (
	Opened    Kind = iota // the first block, without a gap
	Event                 // an event of the log
	Heartbeat             // a heartbeat
	Told                  // another block of the edge: drain, busy, expired
	Gap                   // a gap, in the first block or later
	Garbled               // a block that is none of ours
)

// Step is one block that a client got.
type Step struct {
	At    Time
	ID    event.ID
	Key   Key // of an event
	Gap   *GapInfo
	Conn  int32 // index in Trace.Conns
	Topic int16 // of an event
	Kind  Kind
}

// GapInfo is what a gap said.
type GapInfo struct {
	Reason string
	Text   string // of a garbled block: what was wrong
}

// Conn is one connection of a client.
type Conn struct {
	Edge           int
	Topics         Topics
	Opened, Closed Time
	Cursor         event.ID // that it sent; zero for none
	Why            string   // it ended
}

// Topics says which topics a connection asked for, by their numbers.
type Topics []bool

// Has reports whether the topic was asked for.
func (t Topics) Has(topic int) bool { return topic >= 0 && topic < len(t) && t[topic] }

// Trace is all that one client saw.
type Trace struct {
	Name  string
	Conns []Conn
	Steps []Step
}

// Record is what happened in a run.
type Record struct {
	Epochs       []Epoch
	Acks         []Ack
	Observations []Observation
	Removals     []Removal
	Jobs         []Job
	Forgetful    []Span
	Traces       []Trace
	// Sent is when each key was first sent, acknowledged or not.
	Sent map[Key]Time
	// Settled says that the clients were given the time to get everything: what
	// has not come by the end never will.
	Settled bool
}
