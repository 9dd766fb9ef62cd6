package settings

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sluice/functions/access/address"
	"sluice/functions/access/limit"
	"sluice/functions/access/token"
)

// What AUTH may be.
const (
	authNone = "none"
	authJWT  = "jwt"
)

// Access is who may have what.
type Access struct {
	Auth         string        `env:"AUTH" default:"none" help:"none lets everybody read everything; jwt wants a JSON Web Token."`
	JWTSecret    string        `name:"jwt-secret" env:"JWT_SECRET" placeholder:"SECRET" help:"Secret of tokens that are signed by HMAC, at least 32 bytes."`
	JWTPublicKey string        `name:"jwt-public-key-file" env:"JWT_PUBLIC_KEY_FILE" placeholder:"FILE" help:"PEM file of public keys or certificates (RSA, ECDSA, Ed25519) of tokens."`
	JWKSURL      string        `name:"jwks-url" env:"JWKS_URL" placeholder:"URL" help:"JSON Web Key Set of the tokens' issuer, by https."`
	JWKSRefresh  time.Duration `name:"jwks-refresh" env:"JWKS_REFRESH" default:"${jwks_refresh}" help:"Time between two fetches of JWKS_URL; a key that is not known is looked for at once."`
	JWKSGrace    time.Duration `name:"jwks-grace" env:"JWKS_GRACE" default:"${jwks_grace}" help:"Time for which the known keys count while JWKS_URL cannot be fetched."`
	JWTIssuer    string        `name:"jwt-issuer" env:"JWT_ISSUER" help:"What the claim iss of a token must be; empty for anything."`
	JWTAudience  string        `name:"jwt-audience" env:"JWT_AUDIENCE" help:"What the claim aud of a token must be or have; empty for anything."`
	JWTLeeway    time.Duration `name:"jwt-leeway" env:"JWT_LEEWAY" default:"30s" help:"Difference of clocks that is allowed in a token's times."`
	JWTClaim     string        `name:"jwt-claim" env:"JWT_CLAIM" default:"sluice" help:"Claim of a token with the topics that it allows."`
	AuthCookie   string        `env:"AUTH_COOKIE" placeholder:"NAME" help:"Cookie that may have the token; empty for none."`
	AuthQuery    bool          `env:"AUTH_QUERY" default:"false" negatable:"" help:"Take the token of ?access_token= too; URLs end in logs and histories."`
	Proxies      Proxies       `embed:""`
}

// Proxies is whose word counts for where a client is.
type Proxies struct {
	Trusted         []string `name:"trusted-proxies" env:"TRUSTED_PROXIES" help:"Addresses and ranges of the proxies in front, comma separated, such as 10.0.0.0/8, loopback or private; their FORWARDED_HEADER says where clients are."`
	Protocol        bool     `name:"proxy-protocol" env:"PROXY_PROTOCOL" default:"false" negatable:"" help:"Trusted proxies begin each connection with a PROXY header, version 1 or 2, which says where the client is; it is wanted of them then."`
	ForwardedHeader string   `env:"FORWARDED_HEADER" default:"X-Forwarded-For" help:"Header of trusted proxies: X-Forwarded-For or Forwarded."`
}

// Limits is how much one client may have.
type Limits struct {
	PerAddress    limit.PerAddress `name:"max-connections-per-address" env:"MAX_CONNECTIONS_PER_ADDRESS" default:"auto" help:"Streams open at once from one address, or one /64 of IPv6; 0 for no limit; auto for 1024 from addresses of the internet, and no limit for private ones, which may be a proxy's."`
	NewPerAddress limit.PerAddress `name:"max-new-per-address" env:"MAX_NEW_PER_ADDRESS" default:"auto" help:"New streams a second from one address, ten seconds' worth of them at once, or as many as may be open; 0 for no limit; auto for 100 from addresses of the internet."`
	PerSubject    int              `name:"max-connections-per-subject" env:"MAX_CONNECTIONS_PER_SUBJECT" default:"${max_per_subject}" help:"Streams open at once with tokens of one subject; 0 for no limit."`
	PerConnection int              `name:"max-streams-per-connection" env:"MAX_STREAMS_PER_CONNECTION" default:"1000" help:"Streams open at once on one HTTP/2 connection; more wait."`
	TCP           int              `name:"max-tcp-connections" env:"MAX_TCP_CONNECTIONS" default:"0" help:"TCP connections in all; at the limit the one that has been still for the longest is closed, or the new one; 0 for twice MAX_CONNECTIONS."`
	TopicSets     int              `name:"max-topic-sets" env:"MAX_TOPIC_SETS" default:"${max_topic_sets}" help:"Different sets of topics of all open streams; 0 for no limit."`
	ReplayEvents  int              `name:"max-replay-events" env:"MAX_REPLAY_EVENTS" default:"0" help:"Events of the log that are read for one subject, or one address without a subject, in an hour; beyond, a client goes on after a gap; 0 for no limit."`
}

// ClientLimits is what one client may have, for package limit.
func (s *Shared) ClientLimits() limit.Config {
	l := &s.Limits
	return limit.Config{
		StreamsPerAddress: l.PerAddress, ArrivalsPerAddress: l.NewPerAddress, StreamsPerSubject: l.PerSubject,
		TopicSets: l.TopicSets, ReplayEvents: l.ReplayEvents, Publishes: s.Publish.Rate,
	}
}

// Tokens is what a verifier of tokens needs; false without AUTH=jwt.
func (a *Access) Tokens() (token.Config, bool) {
	return token.Config{
		Secret: a.JWTSecret, PublicKeyFile: a.JWTPublicKey, JWKSURL: a.JWKSURL, Refresh: a.JWKSRefresh, Grace: a.JWKSGrace,
		Issuer: a.JWTIssuer, Audience: a.JWTAudience, Leeway: a.JWTLeeway, Cookie: a.AuthCookie, Query: a.AuthQuery,
	}, a.Auth == authJWT
}

// Describe is what is configured, in one line without secrets.
func (a *Access) Describe() string {
	if a.Auth != authJWT {
		return "everybody may read everything (AUTH=none)"
	}
	keys := "a secret"
	if a.JWTPublicKey != "" {
		keys = a.JWTPublicKey
	} else if a.JWKSURL != "" {
		keys = withoutSecrets(a.JWKSURL)
	}
	from := "Authorization"
	if a.AuthCookie != "" {
		from += ", the cookie " + a.AuthCookie
	}
	if a.AuthQuery {
		from += ", ?" + token.QueryParameter + "="
	}
	return fmt.Sprintf("tokens from %s, keys from %s, issuer %s, audience %s, grants in the claim %s",
		from, keys, cmp.Or(a.JWTIssuer, "any"), cmp.Or(a.JWTAudience, "any"), a.JWTClaim)
}

// withoutSecrets is a URL without user and query.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Loopback reports whether only this machine reaches HOST.
func (s *Server) Loopback() bool { return address.Loopback(s.Host) }

// Ranges is TRUSTED_PROXIES. Parse has checked it.
func (p *Proxies) Ranges() (all []netip.Prefix) {
	for _, text := range p.Trusted {
		ranges, _ := parseRanges(text)
		all = append(all, ranges...)
	}
	return all
}

// named are ranges by a word, as proxies have them too.
var named = map[string][]string{
	"loopback": {"127.0.0.0/8", "::1/128"},
	"private":  {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
}

// parseRanges reads an address, a range, or a word for some.
func parseRanges(text string) (all []netip.Prefix, err error) {
	ranges, ok := named[text]
	if !ok {
		ranges = []string{text}
	}
	for _, one := range ranges {
		r, err := netip.ParsePrefix(one)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(one); err != nil {
				return nil, err
			}
			r = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		all = append(all, r.Masked())
	}
	return all, nil
}

func (a *Access) validate(c *checks) {
	set := a.validateKeys(c)
	switch {
	case a.Auth != authNone && a.Auth != authJWT:
		c.that(false, "AUTH", a.Auth, "none or jwt")
	case a.Auth == authNone && len(set) > 0:
		c.that(false, "AUTH", a.Auth, "jwt, because "+strings.Join(set, " and ")+" would do nothing without it")
	case a.Auth == authJWT && len(set) != 1:
		c.that(false, "AUTH", a.Auth, fmt.Sprintf("exactly one of JWT_SECRET, JWT_PUBLIC_KEY_FILE and JWKS_URL with it; there are %d", len(set)))
	}
	for name, value := range map[string]string{"JWT_ISSUER": a.JWTIssuer, "JWT_AUDIENCE": a.JWTAudience, "JWT_CLAIM": a.JWTClaim} {
		c.that(!strings.ContainsAny(value, " \t\r\n"), name, value, "a text without spaces and line ends")
	}
	c.that(a.JWTClaim != "", "JWT_CLAIM", a.JWTClaim, "the name of a claim")
	c.that(!strings.ContainsAny(a.AuthCookie, " \t\r\n;,=\""), "AUTH_COOKIE", a.AuthCookie, "the name of a cookie")
	atLeast(c, "JWT_LEEWAY", a.JWTLeeway, 0)
	atLeast(c, "JWKS_REFRESH", a.JWKSRefresh, time.Second)
	atLeast(c, "JWKS_GRACE", a.JWKSGrace, 0)
	for _, text := range a.Proxies.Trusted {
		_, err := parseRanges(text)
		c.that(err == nil, "TRUSTED_PROXIES", text, "an address, a range such as 10.0.0.0/8, loopback or private")
	}
	c.says(!a.Proxies.Protocol || len(a.Proxies.Trusted) > 0, "PROXY_PROTOCOL needs TRUSTED_PROXIES: whose headers count")
	header := a.Proxies.ForwardedHeader
	c.that(header == address.XForwardedFor || header == address.Forwarded, "FORWARDED_HEADER", header, "X-Forwarded-For or Forwarded")
}

// validateKeys checks what tokens are verified with, and gives the names of what
// is set. No error repeats the secret.
func (a *Access) validateKeys(c *checks) (set []string) {
	for _, from := range []struct {
		name, value string
		cfg         token.Config
	}{
		{"JWT_SECRET", a.JWTSecret, token.Config{Secret: a.JWTSecret}},
		{"JWT_PUBLIC_KEY_FILE", a.JWTPublicKey, token.Config{PublicKeyFile: a.JWTPublicKey}},
		{"JWKS_URL", a.JWKSURL, token.Config{JWKSURL: a.JWKSURL}},
	} {
		if from.value == "" {
			continue
		}
		set = append(set, from.name)
		_, err := token.New(from.cfg)
		c.none(from.name, err)
	}
	return set
}

func (l *Limits) validate(c *checks) {
	atLeast(c, "MAX_CONNECTIONS_PER_SUBJECT", l.PerSubject, 0)
	atLeast(c, "MAX_STREAMS_PER_CONNECTION", l.PerConnection, 1)
	atLeast(c, "MAX_TCP_CONNECTIONS", l.TCP, 0)
	atLeast(c, "MAX_TOPIC_SETS", l.TopicSets, 0)
	atLeast(c, "MAX_REPLAY_EVENTS", l.ReplayEvents, 0)
}
