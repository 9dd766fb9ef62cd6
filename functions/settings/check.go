package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/publisher/event"
)

const (
	maxPort       = 65535
	maxEventBytes = 64 << 20 // what a NATS server can be set to carry
	// maxReplays leaves room below the 1,000 consumers that a JetStream stream
	// has at most.
	maxReplays = 500
	maxShards  = 1024
	// minHeartbeat keeps a mistyped interval from being a flood.
	minHeartbeat = 100 * time.Millisecond
	minSndbuf    = 4096
	// minAge is the shortest retention and the shortest duplicate window.
	minAge = time.Second
)

// checks collects what is wrong.
type checks struct {
	getenv func(string) (string, bool)
	flags  map[string]string // the name of each variable's flag
	wrong  []error
}

// that notes, unless ok, that a setting has a value that is not what it wants.
func (c *checks) that(ok bool, env string, value any, want string) {
	if !ok {
		c.wrong = append(c.wrong, fmt.Errorf("--%s (%s) %q: want %s", c.flags[env], env, fmt.Sprint(value), want))
	}
}

// says notes, unless ok, what is wrong with the command's own flags.
func (c *checks) says(ok bool, what string) {
	if !ok {
		c.wrong = append(c.wrong, errors.New(what))
	}
}

// none notes err, if there is one, as what is wrong with a setting.
func (c *checks) none(env string, err error) {
	if err != nil {
		c.wrong = append(c.wrong, fmt.Errorf("--%s (%s) %w", c.flags[env], env, err))
	}
}

func (c *checks) between(env string, value, least, most int) {
	c.that(value >= least && value <= most, env, value, fmt.Sprintf("%d to %d", least, most))
}

func atLeast[T cmp.Ordered](c *checks, env string, value, least T) {
	c.that(value >= least, env, value, fmt.Sprintf("at least %v", least))
}

func (s *Shared) validate(c *checks) {
	s.Server.validate(c)
	s.TLS.validate(c)
	s.Log.validate(c)
	s.Feed.validate(c)
	s.Publish.validate(c)
	s.Client.validate(c)
	s.Access.validate(c)
	s.Limits.validate(c)
}

func (s *Server) validate(c *checks) {
	who := origin(c.getenv, "HOST", s.Host)
	c.that(s.Host != "" && who == "", "HOST", s.Host, strings.TrimSuffix("an address, such as 127.0.0.1, or 0.0.0.0 for all; "+who, "; "))
	if strings.HasPrefix(s.Host, "[") && strings.HasSuffix(s.Host, "]") { // as in a URL
		s.Host = s.Host[1 : len(s.Host)-1]
	}
	c.between("PORT", s.Port, 0, maxPort)
	if s.MetricsAddr != "" {
		_, port, err := net.SplitHostPort(s.MetricsAddr)
		c.that(err == nil && port != "", "METRICS_ADDR", s.MetricsAddr, "host:port, such as 127.0.0.1:9090")
		c.that(s.Port == 0 || s.MetricsAddr != s.Addr(), "METRICS_ADDR", s.MetricsAddr, "another address than HOST and PORT")
	}
	for _, origin := range s.CORSOrigins {
		want := "scheme://host or scheme://host:port without a path, or *"
		if exact, ok := exactOrigin(origin); ok {
			want = exact + ", as browsers send it"
		} else if strings.Contains(origin, "*") {
			want = "each origin by its name: a pattern would let in whoever has a host that fits"
		}
		c.that(isOrigin(origin), "CORS_ORIGINS", origin, want)
	}
	c.that(len(s.CORSOrigins) < 2 || !slices.Contains(s.CORSOrigins, "*"),
		"CORS_ORIGINS", strings.Join(s.CORSOrigins, ","), "either * alone or a list of origins")
	atLeast(c, "MAX_CONNECTIONS", s.MaxConnections, 1)
	atLeast(c, "DRAIN_TIMEOUT", s.DrainTimeout, time.Millisecond)
	atLeast(c, "READY_LAG", s.ReadyLag, 1)
}

// isOrigin reports whether s is an origin as browsers send it (RFC 6454, 6.2).
func isOrigin(s string) bool {
	if s == "*" || s == "null" {
		return true
	}
	exact, ok := exactOrigin(s)
	return ok && exact == s
}

// defaultPorts are left out of an origin.
var defaultPorts = map[string]string{"http": ":80", "https": ":443"}

// exactOrigin is the origin as browsers send it, of a text that means one.
func exactOrigin(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Contains(s, "*") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPorts[u.Scheme]), true
}

func (l *Log) validate(c *checks) {
	c.that(l.Stream != "" && !strings.ContainsAny(l.Stream, ". *>/\\\t\r\n"),
		"STREAM", l.Stream, "a name without spaces, dots, wildcards and slashes")
	atLeast(c, "STREAM_MAX_AGE", l.StreamMaxAge, minAge)
	atLeast(c, "STREAM_MAX_BYTES", l.StreamMaxBytes, 1)
	atLeast(c, "STREAM_DUPLICATES", l.StreamDuplicates, minAge)
	c.between("MAX_EVENT_BYTES", l.MaxEventBytes, 1, maxEventBytes)
}

func (f *Feed) validate(c *checks) {
	for _, subject := range f.FeedFilter {
		_, err := event.ParseSubjectFilter(subject)
		c.that(err == nil, "FEED_FILTER", subject, "a subject such as events.metric.> or events.*.error")
	}
	atLeast(c, "RING_EVENTS", f.RingEvents, 1)
	atLeast(c, "RING_BYTES", f.RingBytes, 1)
	c.between("REPLAY_CONCURRENCY", f.ReplayConcurrency, 0, maxReplays)
	c.between("SHARDS", f.Shards, 0, maxShards)
}

func (t *Client) validate(c *checks) {
	atLeast(c, "PENDING_MSGS", t.PendingMsgs, 1)
	atLeast(c, "PENDING_BYTES", t.PendingBytes, 1)
	atLeast(c, "STALL_TIMEOUT", t.StallTimeout, time.Millisecond)
	atLeast(c, "MIN_RATE", t.MinRate, 1)
	c.that(t.SendBuffer == 0 || t.SendBuffer >= minSndbuf, "SNDBUF", t.SendBuffer, fmt.Sprintf("at least %d, or 0 for the system's", minSndbuf))
	atLeast(c, "HEARTBEAT_INTERVAL", t.HeartbeatInterval, minHeartbeat)
	c.that(t.Retry >= time.Millisecond && t.Retry%time.Millisecond == 0, "RETRY", t.Retry, "whole milliseconds, at least 1ms")
	c.that(t.IDPosition == idFirst || t.IDPosition == idLast, "ID_POSITION", t.IDPosition, idFirst+" or "+idLast)
	c.that(t.MaxAge == 0 || t.MaxAge >= time.Second, "MAX_AGE", t.MaxAge, "at least 1s, or 0 for never")
}
