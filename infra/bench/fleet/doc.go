// Package fleet is many SSE clients in one thread: it opens them, counts what
// arrives, checks that nothing is missing, doubled or out of order, and
// measures latency.
//
// It is made to cost little beside the server under test: one epoll loop, no
// goroutine per client, no memory allocated per event. A client does not parse
// events; it undoes HTTP's chunks and looks for stamps (package stamp). The
// latency of an event is receipt minus the time for which its publication was
// scheduled, so a stall shows in every event that it delayed.
//
// Run owns everything and returns when its context ends. All other methods have
// Run's loop call them back, which takes some milliseconds. Linux only.
package fleet
