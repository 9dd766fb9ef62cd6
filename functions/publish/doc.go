// Package publish is events in over HTTP, for producers that cannot speak NATS:
// webhooks, functions of any cloud, pages, curl.
//
// POST /publish takes one JSON value, lines of them (NDJSON), and CloudEvents 1.0 in
// binary, structured and batched form. It answers 200 when the log has acknowledged
// every event, with the ids that the events have in a stream. What it refuses it
// refuses before anything is stored; lines, which are published as they come, have
// a result line each.
//
// A request may be repeated: with an Idempotency-Key, and for CloudEvents and signed
// webhooks by the ids that they have, the log holds each event once (within the
// stream's duplicate window).
//
// Order: the events of one request are stored in their order, as by one publisher
// (package publisher). All requests of a process share one, and wait for their place
// among the events that are not acknowledged.
package publish
