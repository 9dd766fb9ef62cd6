// Package socket is the ways to a client: the listener, the connection that is
// served directly (Conn, HTTP/1 in clear text), the response through net/http
// (Response, everything else), and the watch for clients that close.
//
// Both ways are outlets of package fanout. A Conn's bytes are the ones that the
// socket carries, so a Chunked wire format belongs to it where HTTP/1.1 is
// spoken.
//
// The traps of the direct way, all kept here: it is taken over inside the
// handler; after a partly written chunk it can only be reset; a graceful end
// writes the last chunk; its descriptor's number is another connection's after
// Close, so nobody may write then (asserted with the build tag assertions).
package socket
