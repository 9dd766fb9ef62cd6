// Package fault is what can go wrong in a run. Each fault begins, lasts and heals
// within its Run, also when its context ends in between: after it the world is
// whole again, though NATS and the edges may still have to recover.
//
// Faults may run beside each other. Those that change one process claim it, and
// wait until another fault gives it back; those that change the stream wait for
// each other too.
package fault
