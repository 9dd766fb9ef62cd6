// Package access decides, before anything is spent on a request, whether it is
// served: Gate.Admit gives a Grant, whose Release belongs to the end of the
// stream and not to the handler's return, or a Refusal. A grant says whose the
// stream is and which topics it may have, and tells its holder when it is lost.
// Gate.Author is the same for a request that publishes.
//
// Its rooms know nothing of each other but what is named: token (who asks), rights
// (what that allows), address (where a client is), limit (how much one may have),
// revoked (whose leave was taken back).
//
// A Refusal is the one kind of refusal that clients see. Each is counted
// (sse_requests_refused_total{code}) and logged at most once a second per code,
// so that no client can fill the log. Nothing here blocks, but for a token whose
// key has to be fetched.
package access
