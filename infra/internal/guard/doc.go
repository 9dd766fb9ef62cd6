// Package guard ends the processes that a program has started when the program
// ends, whatever ends it, SIGKILL too.
//
// Start makes a group that is empty but for its guard, Admit has a command start
// in the group, End kills all that is left of it. Start and Admit do not block;
// End waits for the guard alone. A Guard is for one goroutine at a time.
package guard
