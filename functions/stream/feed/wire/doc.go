// Package wire is what the rooms of the feed say to each other about bytes: a
// Frame is one step of the log with the block that tells of it, and a Wire is a
// wire format, which turns events and what the edge itself says into blocks.
//
// Package sse has the wire formats; the transport adds its framing around one
// (socket.Chunked). So neither another format nor another transport changes the
// feed. Nothing here blocks or holds a lock.
package wire
