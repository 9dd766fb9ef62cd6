// Package eventlog is the JetStream stream as an edge reads it: its state, the
// one consumer that follows its end, and the short-lived ones that read older
// parts. It is the only room of the feed that knows NATS.
//
// What it promises: a consumer's deliveries are numbered, so a missing one is an
// error and never passes unseen; nothing is acknowledged; every consumer has a
// name that says whose it is, and the server deletes one that nobody has used
// for 10 s.
//
// Nothing that hurts is decided by one server: a state without a quorum is
// ErrNoQuorum.
//
// Every call that asks NATS may block until its context ends or patience is
// over. A Log is safe for concurrent use; a Tail and a Consumer belong to
// one goroutine, which closes them.
package eventlog
