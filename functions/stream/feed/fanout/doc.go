// Package fanout hands the ring's frames to the clients: each gets the frames
// of its topics in order, each once, at its own pace, within its limits.
//
// A Subscription is one client. Its phase says who serves it, and so who owns
// its place in the log: its shard in phase Live, its pump (a goroutine of its
// own, or the caller of Serve) in every other one. The transitions are one
// table, in phase.go.
//
// Who may block: a shard never waits for a client; a pump does. Serve blocks
// for the client's life. Subscribe, Go, Drain, Cut and Abandon never block.
//
// Who owns what: everything of a shard but its inbox, and the seat of each of
// its members, belongs to the shard's goroutine. A Subscription's place and
// rest belong to whoever serves it. What both sides need (asked, told, pending,
// pump) is under its lock.
//
// Lock order: a Subscription's lock, then its shard's inbox. The lock of the
// Fanout, which holds the list of clients, is never held together with one of
// them. No lock is held while anything is written.
package fanout
