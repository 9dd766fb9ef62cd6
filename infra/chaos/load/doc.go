// Package load is who publishes in a run: writers, whose every acknowledgement
// is known to the book, and jobs, which are the real publisher as a process, that
// get killed and run again with the same job id.
//
// Every event says in its payload which one it is and on which topic, so that
// who gets it can tell whether it is whole and its own. Run blocks until its
// context ends and everything that it started has ended.
package load
