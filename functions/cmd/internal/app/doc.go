// Package app is what the commands local and edge share: it puts the feed, the
// handlers and the HTTP server of one process together, and ends them in the
// order in which no client loses anything.
//
// Run owns every goroutine that it starts and returns after all of them. The
// NATS connection is the caller's: it makes it with ConnectOptions, and closes
// it with Close after Run.
package app
