package cmdtest

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Shared are the settings that all commands have. Each is tested with edge:
// the commands have one way to put a process together.
var Shared = []string{
	"HOST", "PORT", "LOG_LEVEL", "METRICS_ADDR", "CORS_ORIGINS", "MAX_CONNECTIONS", "DRAIN_TIMEOUT", "READY_LAG",
	"STREAM", "STREAM_MAX_AGE", "STREAM_MAX_BYTES", "STREAM_DUPLICATES", "MAX_EVENT_BYTES", "FEED_FILTER",
	"RING_EVENTS", "RING_BYTES", "REPLAY_CONCURRENCY", "SHARDS",
	"PENDING_MSGS", "PENDING_BYTES", "STALL_TIMEOUT", "MIN_RATE", "SNDBUF", "HEARTBEAT_INTERVAL", "RETRY", "MAX_AGE", "ID_POSITION", "DIRECT",
	"TLS_CERT", "TLS_KEY", "AUTH", "JWT_SECRET", "JWT_PUBLIC_KEY_FILE", "JWKS_URL", "JWKS_REFRESH", "JWKS_GRACE", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_LEEWAY", "JWT_CLAIM", "AUTH_COOKIE", "AUTH_QUERY",
	"TRUSTED_PROXIES", "FORWARDED_HEADER", "PROXY_PROTOCOL", "MAX_TCP_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS", "MAX_NEW_PER_ADDRESS", "MAX_CONNECTIONS_PER_SUBJECT", "MAX_STREAMS_PER_CONNECTION", "MAX_TOPIC_SETS", "MAX_REPLAY_EVENTS",
	"PUBLISH_OPEN", "MAX_PUBLISH_WAIT", "MAX_BODY_BYTES", "MAX_PUBLISH_RATE", "WEBHOOK_SECRET", "WEBHOOK_TOPIC",
}

// variable ends the description of a setting in the help.
var variable = regexp.MustCompile(`\.\s+\(\$([A-Z_]+)\)`)

// Settings are the variables that the command names in its help.
func Settings(tb testing.TB) []string {
	tb.Helper()
	p := Exec(tb, nil, "--help")
	require.NoError(tb, p.Wait())
	var all []string
	for _, found := range variable.FindAllStringSubmatch(p.Stdout(), -1) {
		all = append(all, found[1])
	}
	require.NotEmpty(tb, all)
	return all
}

// RunSettings runs the tests of settings, each of which shows that its setting
// acts. Every setting of the command must have one, but for those in elsewhere.
func RunSettings(t *testing.T, tests map[string]func(*testing.T), elsewhere ...string) {
	t.Helper()
	assert.ElementsMatch(t, Settings(t), append(slices.Collect(maps.Keys(tests)), elsewhere...), "the settings, and those with a test")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}
