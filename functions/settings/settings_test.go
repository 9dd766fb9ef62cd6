package settings_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/settings"
)

func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

func parseEdge(vars map[string]string, args ...string) (*settings.Edge, error) {
	cfg, _, _, err := settings.ParseEdge(settings.Source{Args: args, Getenv: environment(vars), Stdout: io.Discard})
	return cfg, err
}

func parsePublisher(vars map[string]string, args ...string) (*settings.Publisher, error) {
	cfg, _, err := settings.ParsePublisher(settings.Source{Args: args, Getenv: environment(vars), Stdout: io.Discard})
	return cfg, err
}

func TestDefaults(t *testing.T) {
	edge, err := parseEdge(nil)
	require.NoError(t, err)
	assert.Equal(t, "0.0.0.0:8000", edge.Server.Addr())
	assert.Empty(t, edge.Server.CORSOrigins)
	assert.Equal(t, []string{"stream", "health"}, edge.Functions)
	assert.Equal(t, 100, edge.Client.PendingMsgs)
	assert.True(t, edge.Client.Direct)

	local, _, err := settings.ParseLocal(settings.Source{Getenv: environment(nil), Stdout: io.Discard})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:8000", local.Server.Addr())
	assert.Equal(t, []string{"null"}, local.Server.CORSOrigins)
	assert.Equal(t, ".sluice", local.Embedded.StoreDir)
	assert.True(t, local.Embedded.Demo)

	p, err := parsePublisher(nil, "stdin", "--topic=a")
	require.NoError(t, err)
	assert.Equal(t, "nats://127.0.0.1:4222", p.NATS.URL)
	assert.Equal(t, "_INBOX", p.NATS.InboxPrefix)
	assert.Equal(t, "EVENTS", p.Log.Stream)
	assert.True(t, p.NATS.CreateStream)
	assert.Equal(t, slog.LevelInfo, p.Publish.LogLevel)
	assert.Equal(t, "stdin", p.ProducerName())
	assert.Zero(t, p.Stdin.Lines())
	p, err = parsePublisher(nil, "host")
	require.NoError(t, err)
	assert.Equal(t, "event_producer", p.ProducerName())
	assert.Equal(t, uint64(1), p.Host.Samples())
	p, err = parsePublisher(nil, "demo")
	require.NoError(t, err)
	assert.Equal(t, uint64(100), p.Demo.Events())
	p, err = parsePublisher(nil, "demo", "--duration=1s")
	require.NoError(t, err)
	assert.Zero(t, p.Demo.Events(), "the duration limits it")
}

func TestFlagOverEnvironmentOverDefault(t *testing.T) {
	vars := map[string]string{
		"PORT": "9000", "DIRECT": "false", "LOG_LEVEL": "debug", "FUNCTIONS": "stream",
		"FEED_FILTER": "events.metric.>,events.log.error", "STALL_TIMEOUT": "3s",
	}
	cfg, err := parseEdge(vars, "--port=9001", "--functions=health,console")
	require.NoError(t, err)
	assert.Equal(t, 9001, cfg.Server.Port)
	assert.Equal(t, []string{"health", "console"}, cfg.Functions)
	assert.False(t, cfg.Client.Direct)
	assert.Equal(t, slog.LevelDebug, cfg.Server.LogLevel)
	assert.Equal(t, []string{"metric.>", "log.error"}, cfg.Feed.Filters())
	assert.Equal(t, 3*time.Second, cfg.Client.StallTimeout)
	assert.Equal(t, 1024, cfg.Client.MinRate)

	vars = map[string]string{
		"NATS_URL": "nats://env:1", "STREAM": "ENV", "CREATE_STREAM": "false", "COUNT": "7", "RATE": "2.5", "PRODUCER_NAME": "env", "TOPIC": "a",
	}
	p, err := parsePublisher(vars, "stdin", "--stream=FLAG", "--create-stream", "--count=1")
	require.NoError(t, err)
	assert.Equal(t, "nats://env:1", p.NATS.URL)
	assert.Equal(t, "FLAG", p.Log.Stream)
	assert.True(t, p.NATS.CreateStream)
	assert.Equal(t, uint64(1), p.Stdin.Lines())
	assert.Equal(t, 2.5, p.Stdin.Rate)
	assert.Equal(t, "env", p.ProducerName())
}

// wrong has a value for each setting that cannot be used, but for STORE_DIR:
// every text is a directory.
var wrong = map[string]string{
	"HOST": "x86_64-conda-linux-gnu", "PORT": "eighty", "LOG_LEVEL": "loud", "METRICS_ADDR": "9090", "CORS_ORIGINS": "https://a.example/path",
	"MAX_CONNECTIONS": "0", "DRAIN_TIMEOUT": "8", "READY_LAG": "0", "TLS_CERT": "/no/such/file", "TLS_KEY": "/no/such/file",
	"STREAM": "a.b", "STREAM_MAX_AGE": "1ms", "STREAM_MAX_BYTES": "0", "STREAM_DUPLICATES": "1ms", "MAX_EVENT_BYTES": "64KiB", "FEED_FILTER": "metric.>",
	"RING_EVENTS": "0", "RING_BYTES": "0", "REPLAY_CONCURRENCY": "-1", "SHARDS": "-1",
	"PENDING_MSGS": "0", "PENDING_BYTES": "0", "STALL_TIMEOUT": "0s", "MIN_RATE": "0", "SNDBUF": "1",
	"HEARTBEAT_INTERVAL": "1ms", "RETRY": "1500us", "MAX_AGE": "-1s", "ID_POSITION": "middle", "DIRECT": "perhaps",
	"AUTH": "basic", "JWT_SECRET": "short-canary", "JWT_PUBLIC_KEY_FILE": "/no/such/file", "JWKS_URL": "http://issuer.example", "JWKS_REFRESH": "1ms", "JWKS_GRACE": "-1s",
	"JWT_ISSUER": "a b", "JWT_AUDIENCE": "a\tb", "JWT_LEEWAY": "-1s", "JWT_CLAIM": "a b", "AUTH_COOKIE": "a=b", "AUTH_QUERY": "perhaps",
	"TRUSTED_PROXIES": "everybody", "FORWARDED_HEADER": "X-Real-IP", "PROXY_PROTOCOL": "perhaps", "MAX_TCP_CONNECTIONS": "-1",
	"MAX_CONNECTIONS_PER_ADDRESS": "many", "MAX_NEW_PER_ADDRESS": "-1", "MAX_CONNECTIONS_PER_SUBJECT": "-1", "MAX_STREAMS_PER_CONNECTION": "0",
	"MAX_TOPIC_SETS": "-1", "MAX_REPLAY_EVENTS": "-1",
	"PUBLISH_OPEN": "perhaps", "MAX_PUBLISH_WAIT": "0s", "MAX_BODY_BYTES": "0", "MAX_PUBLISH_RATE": "-1", "WEBHOOK_SECRET": "whsec_canary", "WEBHOOK_TOPIC": "a.*",
	"NATS_URL": "http://127.0.0.1", "NATS_CREDS": "/no/such/file", "NATS_CA": "/no/such/file", "NATS_CERT": "/no/such/file", "NATS_KEY": "/no/such/file", "NATS_NKEY": "/no/such/file", "JS_DOMAIN": "a.b", "JS_PREFIX": "a b", "NATS_INBOX_PREFIX": "a b", "CREATE_STREAM": "perhaps",
	"STREAM_REPLICAS": "6", "FUNCTIONS": "stream,metrics",
	"NATS_PORT": "65536", "NATS_PASSWORD": "$2a$canary", "NATS_SYNC_ALWAYS": "perhaps", "DEMO": "perhaps",
	"MAX_PENDING": "0", "CONNECT_TIMEOUT": "10", "PUBLISH_TIMEOUT": "0s", "ACK_TIMEOUT": "-1s", "PRODUCER_NAME": "a.b", "EVERY": "-1s",
	"TOPIC": "a..b", "EVENT_TYPE": "system", "DURATION": "-1s", "ID_FROM": "a.", "SLUICE_JOB_ID": "a\tb", "COUNT": "-1", "RATE": "-1",
}

func TestEveryErrorIsToldAtOnce(t *testing.T) {
	edge, local, publisher, err := settings.Models()
	require.NoError(t, err)
	_, edgeErr := parseEdge(wrong)
	_, _, localErr := settings.ParseLocal(settings.Source{
		Args: []string{"--store-dir="}, Getenv: environment(wrong), Stdout: io.Discard, // in the environment it would be unset
	})
	type command struct {
		name  string
		flags []setting
		err   error
	}
	commands := []command{{"edge", flags(edge.Node), edgeErr}, {"local", flags(local.Node), localErr}}
	for _, node := range publisher.Children {
		_, err := parsePublisher(wrong, node.Name)
		commands = append(commands, command{"publisher " + node.Name, append(flags(publisher.Node), flags(node)...), err})
	}
	require.Len(t, commands, 5)
	for _, tc := range commands {
		t.Run(tc.name, func(t *testing.T) {
			require.Error(t, tc.err)
			lines := strings.Split(tc.err.Error(), "\n")
			assert.NotContains(t, tc.err.Error(), "canary", "a secret is not repeated")
			assert.Len(t, lines, len(tc.flags))
			for _, f := range tc.flags {
				assert.Contains(t, tc.err.Error(), "--"+f.name+" ("+f.env+") ", "the setting that is wrong is named")
			}
		})
	}
}

func TestWrongFlagsAreToldAtOnceToo(t *testing.T) {
	_, err := parsePublisher(map[string]string{"STREAM_MAX_AGE": "old", "MAX_PENDING": "0"},
		"--max-event-bytes=64KiB", "stdin", "--rate", "fast", "--count=-1", "--ack-timeout=0s")
	require.Error(t, err)
	for _, say := range []string{
		`--max-event-bytes (MAX_EVENT_BYTES) "64KiB": `, `--rate (RATE) "fast": `, `--count (COUNT) "-1": `, `--ack-timeout (ACK_TIMEOUT) "0s": `,
		`--topic (TOPIC) "": `, `--stream-max-age (STREAM_MAX_AGE) "old": `, `--max-pending (MAX_PENDING) "0": `,
	} {
		assert.Contains(t, err.Error(), say)
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 7)
}

func TestWrongFlag(t *testing.T) {
	_, err := parseEdge(map[string]string{"SHARDS": "many"}, "--port=eighty")
	require.Error(t, err)
	assert.Contains(t, err.Error(), "--port")
	assert.Contains(t, err.Error(), "SHARDS", "what is wrong in the environment too")
	_, err = parseEdge(nil, "--prot=80")
	assert.ErrorContains(t, err, "--prot")
	_, err = parseEdge(map[string]string{"SHARDS": "many"}, "--port", "--no-direct")
	assert.ErrorContains(t, err, "--port: ", "a value is missing")
	assert.ErrorContains(t, err, "SHARDS")
	_, err = parsePublisher(map[string]string{"MAX_PENDING": "many"})
	assert.ErrorContains(t, err, `"demo", "host", "stdin"`)
	assert.ErrorContains(t, err, "MAX_PENDING")
	assert.Equal(t, 1, strings.Count(err.Error(), "MAX_PENDING"))
}

func TestOrigins(t *testing.T) {
	for _, tc := range []struct {
		origins string
		ok      bool
	}{
		{"*", true}, {"null", true}, {"", true}, {"https://app.example.com", true}, {"http://localhost:3000,https://b.example", true},
		{"https://*.example.com", false}, {"https://*", false}, {"https://a.example:443", false}, {"http://a.example:80", false}, {"https://A.example", false}, {"https://a.example:8443", true},
		{"*,https://a.example", false}, {"app.example.com", false}, {"https://a.example/", false}, {"https://", false},
	} {
		_, err := parseEdge(map[string]string{"CORS_ORIGINS": tc.origins})
		assert.Equal(t, tc.ok, err == nil, "%q: %v", tc.origins, err)
	}
}

func TestAnOriginIsWrittenAsBrowsersSendIt(t *testing.T) {
	for origin, says := range map[string]string{
		"https://App.example:443/": "want https://app.example, as browsers send it",
		"http://a.example:80":      "want http://a.example, as browsers send it",
		"https://*.example.com":    "want each origin by its name",
		"https://u@a.example":      "want scheme://host",
	} {
		_, err := parseEdge(map[string]string{"CORS_ORIGINS": origin})
		assert.ErrorContains(t, err, says)
	}
}

func TestHelpTellsEverySetting(t *testing.T) {
	edge, local, publisher, err := settings.Models()
	require.NoError(t, err)
	var out bytes.Buffer
	src := settings.Source{Args: []string{"--help"}, Getenv: environment(wrong), Stdout: &out}
	_, done, err := settings.ParseLocal(src)
	require.NoError(t, err)
	assert.True(t, done)
	for _, f := range flags(local.Node) {
		assert.Contains(t, out.String(), "($"+f.env+")")
	}
	out.Reset()
	_, _, done, err = settings.ParseEdge(src)
	require.NoError(t, err)
	assert.True(t, done)
	for _, f := range flags(edge.Node) {
		assert.Contains(t, out.String(), "($"+f.env+")")
	}
	assert.Contains(t, out.String(), "healthcheck")
	assert.NotContains(t, out.String(), wrong["LOG_LEVEL"], "no value of the environment, it may be secret")
	for _, node := range publisher.Children {
		out.Reset()
		src.Args = []string{node.Name, "--help"}
		_, done, err = settings.ParsePublisher(src)
		require.NoError(t, err)
		assert.True(t, done)
		for _, f := range append(flags(publisher.Node), flags(node)...) {
			assert.Contains(t, out.String(), "($"+f.env+")")
		}
	}
}

func TestHealthcheckIsACommand(t *testing.T) {
	cfg, command, done, err := settings.ParseEdge(settings.Source{
		Args: []string{"healthcheck", "--ready"}, Getenv: environment(nil), Stdout: io.Discard,
	})
	require.NoError(t, err)
	assert.False(t, done)
	assert.Equal(t, "healthcheck", command)
	assert.True(t, cfg.Healthcheck.Ready)
}

// TestWhatTokensAreCheckedWith: just one thing, and only where it does something.
func TestWhatTokensAreCheckedWith(t *testing.T) {
	const secret, url = "0123456789abcdef0123456789abcdef", "https://issuer.example/jwks.json?key=canary"
	for _, tt := range []struct {
		vars map[string]string
		says string // "" for no error
	}{
		{map[string]string{"AUTH": "jwt", "JWT_SECRET": secret}, ""},
		{map[string]string{"AUTH": "jwt", "JWKS_URL": url}, ""},
		{map[string]string{"AUTH": "jwt"}, "there are 0"},
		{map[string]string{"AUTH": "jwt", "JWT_SECRET": secret, "JWKS_URL": url}, "there are 2"},
		{map[string]string{"JWT_SECRET": secret}, "JWT_SECRET would do nothing"},
	} {
		cfg, err := parseEdge(tt.vars)
		if tt.says != "" {
			assert.ErrorContains(t, err, "--auth (AUTH) ")
			assert.ErrorContains(t, err, tt.says)
			continue
		}
		require.NoError(t, err)
		assert.NotContains(t, cfg.Access.Describe(), secret)
		assert.NotContains(t, cfg.Access.Describe(), "canary")
	}
	_, err := parseEdge(nil, "token")
	assert.ErrorContains(t, err, "JWT_SECRET")
	_, err = parseEdge(map[string]string{"JWT_SECRET": secret}, "token", "--for=0s")
	assert.ErrorContains(t, err, "--for")
	for _, args := range [][]string{{"revoke"}, {"revoke", "--sub=a", "--jti=b"}} {
		_, err = parseEdge(nil, args...)
		assert.ErrorContains(t, err, "either --sub or --jti")
	}
}
