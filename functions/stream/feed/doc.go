// Package feed reads the JetStream stream once per process and gives every
// client its own bounded, resumable view of it. It puts its rooms together:
//
//	reader    the one reader of the log ──▶ ring      recent frames in memory
//	                                          │
//	fanout    shards, clients, limits  ◀──────┤
//	replay    what the ring forgot     ──▶ fanout
//	eventlog  the JetStream stream         wire      frames and formats
//	topics    sets of topic filters        metrics   what is counted
//	turns     pauses for work in vain
//
// and settles where a client begins (resume.go). Imports run one way; which
// room may know which is a test.
//
// Order and delivery: a subscription sees the events of its topics in sequence
// order, each once, none missing inside the stream's retention, or a gap block
// that says what was lost, or it ends with an error. After its end the client
// resumes at the last id it saw, on any instance.
//
// Who may block: the reader and the shards never wait for a client. A client
// whose socket refuses bytes is served by a goroutine of its own until it has
// caught up, and is cut when it stays over its pending limits. Subscribe may
// wait 5 s for the feed, Drain for the clients, Run for its context's end.
//
// Who closes: Run returns after every goroutine of the feed has; a
// Subscription ends by its Outlet's failure, by Cut or Drain, or with Run.
package feed
