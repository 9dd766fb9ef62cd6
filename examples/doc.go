// Package examples holds a small client of the event stream for each of the
// usual places: a browser page, curl, Python, Node and Go. Each prints one line
// per event (id, type, data), tells what the edge says about gaps and drains on
// standard error, and resumes after a cut with the last id it saw. check.sh
// runs them against a server and compares what they got. What other clients do,
// and need, is seen in clients. resumable_answer is a program with a page: an answer
// that streams, and outlives everything on its way.
package examples
