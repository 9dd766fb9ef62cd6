// Package event is the contract between those who publish and those who
// stream: the topic and subject grammar, the event id, the event type and the
// JetStream stream that holds the log.
//
// It knows NATS names and nothing of HTTP. All functions are safe for
// concurrent use and none blocks, except EnsureStream, which asks NATS.
package event
