package settings

import (
	"net/url"
	"os"
	"slices"
	"strings"
)

// NATS is how a command reaches the backbone.
type NATS struct {
	URL          string `name:"nats-url" env:"NATS_URL" default:"${nats_url}" help:"NATS servers, comma separated."`
	Creds        string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file of the NATS user."`
	InboxPrefix  string `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" default:"${inbox_prefix}" help:"Prefix of the reply subjects that the NATS user may subscribe to."`
	CreateStream bool   `env:"CREATE_STREAM" default:"true" negatable:"" help:"Create the JetStream stream and the producers' bucket when they are missing."`
	Replicas     int    `name:"stream-replicas" env:"STREAM_REPLICAS" default:"${stream_replicas}" help:"Replicas of a stream that is created."`
}

// Servers is NATS_URL without its passwords and tokens, for logs and errors.
func (n *NATS) Servers() string { return redact(n.URL) }

func (n *NATS) validate(c *checks) {
	for server := range strings.SplitSeq(n.URL, ",") {
		c.that(isNATSServer(strings.TrimSpace(server)), "NATS_URL", redact(server), "nats://host:port, tls://, ws:// or wss://")
	}
	if n.Creds != "" {
		_, err := os.ReadFile(n.Creds)
		c.that(err == nil, "NATS_CREDS", n.Creds, "name a credentials file that this process may read")
	}
	c.that(n.InboxPrefix != "" && !strings.ContainsAny(n.InboxPrefix, " *>\t\r\n") &&
		!strings.HasPrefix(n.InboxPrefix, ".") && !strings.HasSuffix(n.InboxPrefix, "."),
		"NATS_INBOX_PREFIX", n.InboxPrefix, "a NATS subject without wildcards")
	c.between("STREAM_REPLICAS", n.Replicas, 1, 5)
}

func isNATSServer(server string) bool {
	u, err := parseServer(server)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
}

// parseServer reads one server of NATS_URL, which may lack its scheme.
func parseServer(server string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// redact hides the passwords and tokens in a list of servers.
func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		u, err := parseServer(strings.TrimSpace(server))
		if err != nil {
			list[i] = "(not a URL)"
			continue
		}
		if u.User != nil {
			if _, password := u.User.Password(); !password { // a user alone is a token
				u.User = url.User("xxxxx")
			}
		}
		list[i] = u.Redacted()
	}
	return strings.Join(list, ",")
}
