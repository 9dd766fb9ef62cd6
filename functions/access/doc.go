// Package access decides, before anything is spent on a request, whether it is
// served: Gate.Admit gives a Grant, whose Release belongs to the end of the
// stream and not to the handler's return, or a Refusal.
//
// A Refusal is the one kind of refusal that clients see. Each is counted
// (sse_requests_refused_total{code}) and logged at most once a second per code,
// so that no client can fill the log. Nothing here blocks.
package access
