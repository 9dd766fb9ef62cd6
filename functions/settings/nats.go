package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// NATS is how a command reaches the backbone.
type NATS struct {
	URL          string `name:"nats-url" env:"NATS_URL" default:"${nats_url}" help:"NATS servers, comma separated."`
	Creds        string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file of the NATS user."`
	CA           string `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"Certificates (PEM) that NATS's own must come from; with it, TLS is wanted."`
	Cert         string `name:"nats-cert" env:"NATS_CERT" placeholder:"FILE" help:"Certificate (PEM) of this client for NATS."`
	Key          string `name:"nats-key" env:"NATS_KEY" placeholder:"FILE" help:"Key (PEM) of NATS_CERT."`
	NKey         string `name:"nats-nkey" env:"NATS_NKEY" placeholder:"FILE" help:"File with the nkey seed of the NATS user."`
	Domain       string `name:"js-domain" env:"JS_DOMAIN" help:"JetStream domain of the stream, such as that of a leaf node's hub."`
	Prefix       string `name:"js-prefix" env:"JS_PREFIX" help:"Prefix of JetStream's API where another account's is imported, in place of JS_DOMAIN."`
	InboxPrefix  string `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" default:"${inbox_prefix}" help:"Prefix of the reply subjects that the NATS user may subscribe to."`
	CreateStream bool   `env:"CREATE_STREAM" default:"true" negatable:"" help:"Create the JetStream stream and the producers' bucket when they are missing."`
	Replicas     int    `name:"stream-replicas" env:"STREAM_REPLICAS" default:"${stream_replicas}" help:"Replicas of a stream that is created."`
}

// Servers is NATS_URL without its passwords and tokens, for logs and errors.
func (n *NATS) Servers() string { return strings.Join(redact(strings.Split(n.URL, ",")), ",") }

// find has NATS_URL be what local keeps, unless it is set.
func (n *NATS) find(c *checks) {
	if n.URL != nats.DefaultURL {
		return
	}
	found, err := findURL()
	c.none("NATS_URL", err)
	if found != "" {
		n.URL = found
	}
}

// Options are those of a connection that the settings ask for.
func (n *NATS) Options() ([]nats.Option, error) {
	opts := []nats.Option{nats.CustomInboxPrefix(n.InboxPrefix)}
	if n.Creds != "" {
		opts = append(opts, nats.UserCredentials(n.Creds))
	}
	if n.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(n.NKey)
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: %w", err)
		}
		opts = append(opts, key)
	}
	if n.CA != "" {
		opts = append(opts, nats.RootCAs(n.CA))
	}
	if n.Cert != "" {
		opts = append(opts, nats.ClientCert(n.Cert, n.Key))
	}
	return opts, nil
}

// APIPrefix is where JetStream's API is, as in event.JetStream.
func (n *NATS) APIPrefix() string {
	if n.Domain != "" {
		return "$JS." + n.Domain + ".API"
	}
	return n.Prefix
}

func (n *NATS) validate(c *checks) {
	n.find(c)
	servers := strings.Split(n.URL, ",")
	want := "nats://host:port, tls://, ws:// or wss://"
	if strings.Contains(n.URL, "@") {
		want += "; special characters in a user name or password are written percent-encoded, such as %2F for / and %2C for a comma"
	}
	for i, shown := range redact(servers) {
		c.that(isNATSServer(servers[i]), "NATS_URL", shown, want)
	}
	n.validateFiles(c)
	c.that(n.Domain == "" || isSubject(n.Domain) && !strings.Contains(n.Domain, "."), "JS_DOMAIN", n.Domain, "one token of a NATS subject")
	c.that(n.Prefix == "" || isSubject(n.Prefix), "JS_PREFIX", n.Prefix, "a NATS subject without wildcards")
	c.says(n.Domain == "" || n.Prefix == "" || !isSubject(n.Prefix), "JS_DOMAIN and JS_PREFIX say the same: set one of them")
	c.that(isSubject(n.InboxPrefix), "NATS_INBOX_PREFIX", n.InboxPrefix, "a NATS subject without wildcards")
	c.between("STREAM_REPLICAS", n.Replicas, 1, 5)
}

// validateFiles checks what the connection is secured with.
func (n *NATS) validateFiles(c *checks) {
	c.readable("NATS_CREDS", n.Creds, "a credentials file")
	c.readable("NATS_CA", n.CA, "a file of certificates")
	c.pair("NATS_CERT", n.Cert, "NATS_KEY", n.Key)
	if c.readable("NATS_NKEY", n.NKey, "a seed file") {
		_, err := nats.NkeyOptionFromSeed(n.NKey)
		c.none("NATS_NKEY", err)
	}
}

// isSubject reports whether s is a NATS subject without wildcards.
func isSubject(s string) bool {
	return s != "" && !strings.ContainsAny(s, " *>\t\r\n") && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".")
}

func isNATSServer(server string) bool {
	u, err := parseServer(server)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
}

// parseServer reads one server of NATS_URL, which may lack its scheme. It is an
// error when what stands before the last @ is not all user name and password:
// nats://u:12/34@h is the port 12 of a host u to the letter, and was meant to be
// a password.
func parseServer(server string) (*url.URL, error) {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(server, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	if strings.Contains(rest[end:], "@") || u.User == nil && strings.Contains(server, "@") {
		return nil, errors.New("an @ behind the host")
	}
	return u, nil
}

// redact is the servers without their passwords and tokens. What precedes one
// that has a user but no scheme may be a password cut at a comma.
func redact(servers []string) []string {
	shown := make([]string, len(servers))
	cut := false
	for i, server := range slices.Backward(servers) {
		shown[i] = redactOne(server)
		if cut {
			shown[i] = "(not shown)"
		}
		cut = !strings.Contains(server, "://") && (cut || strings.Contains(server, "@"))
	}
	return shown
}

func redactOne(server string) string {
	u, err := parseServer(server)
	if err != nil {
		return "(not a URL)"
	}
	if u.User != nil {
		if _, password := u.User.Password(); !password { // a user alone is a token
			u.User = url.User("xxxxx")
		}
	}
	return u.Redacted()
}
