package publisher

import "sluice/publisher/event"

// Result is what became of an event: the log holds it, or Err says why not.
//
// The publisher's goroutine calls Event.OnResult, one event after the other, in
// the order in which the log acknowledged or refused them. Events that wait
// when the publisher ends get their results then, in the order of Publish. A
// call comes before Summary counts the event, before its place under MaxPending
// is free, and before Flush or Close returns: at most MaxPending accepted
// events are without a result.
//
// OnResult must not block, since nothing is sent meanwhile; so it must not call
// Publish, Flush or Close. To hand results to a slower reader, let no more
// events be without a result than a channel has room for.
type Result struct {
	// ID is the event's position in the log, the first event's of the same
	// message id if it is a duplicate. It is the zero ID when Err is set. A
	// stream that is recreated while the publisher runs is taken for the old
	// one: such an id belongs to neither.
	ID event.ID
	// MsgID is the message id of the event: the caller's, else the one that
	// the publisher made. To publish the event again with it, within the
	// stream's duplicate window, stores it at most once.
	MsgID string
	// Duplicate is whether the log held the event before this publisher
	// sent it.
	Duplicate bool
	// Err is why the event was not published. It wraps ErrUnacknowledged when
	// the log may hold the event all the same; else the log has refused it.
	Err error
}
