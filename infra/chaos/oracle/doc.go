// Package oracle says whether a run kept the promise of Sluice: every event that
// the log acknowledged reaches each client whose topics match once and in order,
// or lies in a gap that the client was told of.
//
// A Book collects what happened, from any goroutine; it never blocks for long.
// Record is its content at one moment, and Judge a pure function of that: it
// knows no clock, no network and nothing of the product but the ids of events.
// So it is tested with histories that are broken on purpose.
//
// What the log held comes from the acknowledgements, and from what a leader with
// a majority of current peers said of the stream's first and last sequence
// (Observation). What was removed on purpose, and when a stream was deleted and
// created, is told by whoever did it.
//
// Watch is the other half: it looks at a running world for edges that say that
// they are ready and give their clients nothing.
package oracle
