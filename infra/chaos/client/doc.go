// Package client is who reads in a run: clients that behave as EventSource does.
//
// A client takes its cursor from a block at its blank line and not before,
// honours retry, comes back when a connection ends however that was, and is dead
// after a status that is not 200: then its page is loaded again, with the cursor
// in the URL. Some are slow and stop reading, some go to another edge each time
// and change their topics, some speak HTTP/2, some take CloudEvents.
//
// Run blocks until its context ends; everything that a client sees goes to its
// writer in the book.
package client
