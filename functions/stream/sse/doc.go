// Package sse is the wire format: it turns events of the log, and what the
// edge itself has to say, into blocks of Server-Sent Events (WHATWG HTML,
// section 9.2).
//
// Every block is written in the same order, with LF line ends:
//
//	id: 0198f5aa-3c1d-8000-8000-00000000002a
//	event: data
//	data: {"type":"metric","name":"cpu_usage","value":45.2}
//	retry: 5000
//	(blank line)
//
// An IDLast has the id line before the blank line instead.
//
// Whatever bytes a publisher sent, a block is exactly one event for the client
// that parses it: a payload or a type that would break that is mended, and the
// mending is told to the caller as a Flaw. Nothing here blocks or fails.
package sse
