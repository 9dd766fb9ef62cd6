// Package replay reads the part of the log that the ring no longer holds. A
// Replay is an iterator over chunks; it knows no client.
//
// Order and delivery: the events of the topics in sequence order, each once,
// none missing inside the stream's retention, or a gap frame that says what may
// be lost.
//
// Bounded work: at most Config.Concurrency chunks are under way at once in a
// process, each of at most chunkEvents events and about chunkBytes bytes, and
// as many consumers are kept between two chunks. Whoever takes a chunk slowly
// gets a smaller one next.
//
// Who may block: Next, for its slot 10 s at most, then for a few requests to NATS.
// With nothing to give by then it says so (wire.Chunk.Waited). Who closes: the
// caller of Open closes the Replay.
package replay
