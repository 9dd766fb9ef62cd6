package event

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the JetStream that answers under an API prefix: "" for the
// connection's own account and domain, "$JS.hub.API" for the domain hub of a leaf
// node's hub, or what an account imports the API as.
func JetStream(conn *nats.Conn, prefix string, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if prefix == "" {
		return jetstream.New(conn, opts...)
	}
	return jetstream.NewWithAPIPrefix(conn, prefix, opts...)
}
