// Package publisher writes events to the log and accounts for every one of
// them.
//
// A Publisher sends in the order of its Publish calls, keeps a bounded number
// of events on the way, and calls an event published only when JetStream's
// PubAck for it has arrived. What fails for a reason that passes (a lost
// connection, a leader election, a lost acknowledgement) is sent again with
// the same Nats-Msg-Id, so that the log holds it once.
//
// Results. Event.OnResult is told what became of its event, as soon as that is
// known: its id in the log, that it is a duplicate, or why it failed. Flush and
// Summary tell the same of all events together. The publisher remembers only
// the events that are pending, so a run may be endless.
//
// Order. One publisher's events are stored in its order through lost
// connections and server restarts. When the leader of a replicated stream
// changes, JetStream may drop some of the events on their way and store later
// ones; the dropped ones are then sent again and follow those. A publisher
// with MaxPending 1 keeps the order through that too, at one round trip per
// event: no other way exists in NATS for a stream with several publishers.
//
// Who blocks: Publish while MaxPending events are unacknowledged, Flush until
// none is. Both give way to their context. The caller of New owns the
// connection and calls Close, which waits for the publisher's goroutine.
package publisher
