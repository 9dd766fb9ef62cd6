// Package feed reads the JetStream stream once per process and gives every
// client its own bounded, resumable view of it.
//
// One reader appends each event, encoded once, to a ring of recent frames. A
// few shards watch the ring, match each frame against the topics of their
// subscriptions and hand it on. A Subscription is one client's position in the
// log: it replays from JetStream what the ring no longer holds, catches up
// from the ring, then lives on what its shard hands it.
//
// Order and delivery: a subscription sees the events of its topics in sequence
// order, each once, none missing inside the stream's retention, or a gap block
// that says what was lost, or it ends with an error. After its end the client
// resumes at the last id it saw, on any instance.
//
// Who may block: the reader and the shards never wait for a client. A client
// whose socket refuses bytes is served by a goroutine of its own until it has
// caught up, and is cut once its pending limits are over.
//
// Who closes: Run returns after every goroutine of the feed has; a
// Subscription ends by its Outlet's failure, by Cut or Finish, or with Run.
package feed
