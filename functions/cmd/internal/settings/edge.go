package settings

import (
	"os"
	"slices"
	"strings"

	"sluice/publisher"
)

// The functions of an edge.
const (
	FunctionStream  = "stream"
	FunctionHealth  = "health"
	FunctionConsole = "console"
)

// Edge is the configuration of the command edge.
type Edge struct {
	Shared `embed:""`
	NATS   NATS `embed:"" group:"NATS"`

	Functions []string `env:"FUNCTIONS" default:"stream,health" group:"Server" help:"What this process serves, comma separated: stream, health, console. /livez and /readyz are always there."`

	Serve       struct{} `cmd:"" default:"1" help:"Serve until SIGTERM or SIGINT."`
	Healthcheck struct {
		Ready bool `help:"Ask /readyz instead of /livez."`
	} `cmd:"" help:"Ask the process on PORT whether it lives; exits 0 if so."`
}

// NATS is how an edge reaches the backbone.
type NATS struct {
	URL          string `name:"nats-url" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS servers, comma separated."`
	Creds        string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file of the NATS user."`
	InboxPrefix  string `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" default:"_INBOX" help:"Prefix of the reply subjects that the NATS user may subscribe to."`
	CreateStream bool   `env:"CREATE_STREAM" default:"true" negatable:"" help:"Create the JetStream stream and the producers' bucket when they are missing."`
	Replicas     int    `name:"stream-replicas" env:"STREAM_REPLICAS" default:"1" help:"Replicas of a stream that is created."`
}

func (*Edge) defaults() map[string]string {
	return map[string]string{"host": "0.0.0.0", "cors_origins": ""}
}

// Has reports whether the process is to serve the function.
func (e *Edge) Has(function string) bool { return slices.Contains(e.Functions, function) }

func (e *Edge) validate(c *checks) {
	e.Shared.validate(c)
	c.that(len(e.Functions) > 0, "FUNCTIONS", "", "name at least one of stream, health and console")
	for _, f := range e.Functions {
		c.that(slices.Contains([]string{FunctionStream, FunctionHealth, FunctionConsole}, f),
			"FUNCTIONS", f, "one of stream, health and console")
	}
	for server := range strings.SplitSeq(e.NATS.URL, ",") {
		c.that(isNATSServer(strings.TrimSpace(server)), "NATS_URL", publisher.RedactServers(server), "nats://host:port, tls://, ws:// or wss://")
	}
	if e.NATS.Creds != "" {
		_, err := os.ReadFile(e.NATS.Creds)
		c.that(err == nil, "NATS_CREDS", e.NATS.Creds, "name a credentials file that this process may read")
	}
	prefix := e.NATS.InboxPrefix
	c.that(prefix != "" && !strings.ContainsAny(prefix, " *>\t\r\n") && !strings.HasPrefix(prefix, ".") && !strings.HasSuffix(prefix, "."),
		"NATS_INBOX_PREFIX", prefix, "a NATS subject without wildcards")
	c.between("STREAM_REPLICAS", e.NATS.Replicas, 1, 5)
}

func isNATSServer(server string) bool {
	u, err := publisher.ParseServer(server)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
}
