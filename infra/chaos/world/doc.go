// Package world is what a run happens to: NATS nodes and edges as processes, and
// proxies on every link between them.
//
// A Process is killed, paused and started again by whoever has claimed it; a
// Link is a proxy of its own, on which several disturbances may be at once. All
// processes are in one group that ends with this program, whatever ends it; their
// logs are files of the world's directory.
//
// Open starts everything and Close ends it; both block until that is done.
package world
