// Package reader is a process's one reader of the log: it follows the log with
// one consumer and writes what it reads to the ring.
//
// It owns its restarts. nats.go's ordered consumer resets itself without
// telling, the server moves an expired start forward without a word and waits
// for ever on a start beyond the end, and a recreated stream would be read on
// under the old ids. So each consumer is made only after the log's epoch and
// bounds were checked against the ring's position (settle), and used only after
// the epoch was checked again. A message that does not follow the last one ends
// it, and a watchdog ends it when it gives no sign of life (silent) or does not
// deliver what the log has (watch). What the log no longer has becomes a gap
// frame for every client.
//
// Who may block: Run, until its context ends; Status and Loaded never. Run has
// no goroutine of its own beside the caller's.
package reader
