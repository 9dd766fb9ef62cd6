package main

import (
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestMain(m *testing.M) {
	cmdtest.RunIfAsked(main)
	natstest.HearHangup()
	// The command line comes later and wins.
	_ = flag.Set("test.parallel", "8") // the parallel tests wait more than they work
	os.Exit(m.Run())
}

// execute starts local as a process, on free ports and with an empty store.
func execute(t *testing.T, env map[string]string) *cmdtest.Process {
	t.Helper()
	return cmdtest.Exec(t, onFreePorts(t, env))
}

func TestSignals(t *testing.T) {
	cmdtest.RunSignals(t, func(t *testing.T, env map[string]string) (*cmdtest.Process, func() string) {
		p := execute(t, env)
		return p, func() (url string) {
			p.Eventually(func() bool { url = natsURL.FindString(p.Stdout()); return url != "" })
			return url
		}
	})
}

var natsURL = regexp.MustCompile(`nats://127\.0\.0\.1:\d+`)

// TestEverySettingActs has a test for each setting of local alone.
func TestEverySettingActs(t *testing.T) {
	cmdtest.RunSettings(t, map[string]func(*testing.T){
		"NATS_PORT": testNatsPort,
		"STORE_DIR": testStoreDir,
		"DEMO":      testDemo,

		"NATS_PASSWORD":    testNatsPassword,
		"NATS_SYNC_ALWAYS": testNatsSyncAlways,
	}, cmdtest.Shared...)
}

func testNatsPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, taken, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	p := execute(t, map[string]string{"NATS_PORT": taken})
	require.Error(t, p.Wait())
	assert.Regexp(t, `NATS_PORT.*127\.0\.0\.1:`+taken, p.Stderr())

	p = execute(t, map[string]string{"NATS_PORT": "0"})
	p.WaitReady()
	p.Eventually(func() bool { return regexp.MustCompile(`NATS +inside this process only`).MatchString(p.Stdout()) })
}

func testStoreDir(t *testing.T) {
	store := t.TempDir()
	execute(t, map[string]string{"STORE_DIR": store}).WaitReady()
	assert.DirExists(t, filepath.Join(store, "jetstream"))
}

// testNatsSyncAlways: JetStream itself says so.
func testNatsSyncAlways(t *testing.T) {
	for value, said := range map[string]bool{"true": true, "false": false} {
		p := execute(t, map[string]string{"NATS_SYNC_ALWAYS": value})
		p.Eventually(func() bool { return strings.Contains(p.Stdout(), "Ctrl+C") })
		assert.Equal(t, said, strings.Contains(p.Stdout(), "each event is on the disk before it is acknowledged"), p.Stdout())
	}
}

// testDemo has three events a second, or none among ten heartbeats a second.
func testDemo(t *testing.T) {
	live := func(value, heartbeat string) *streamtest.Client {
		p := execute(t, map[string]string{"DEMO": value, "HEARTBEAT_INTERVAL": heartbeat})
		p.WaitReady()
		c := streamtest.Open(t, p.URL(), streamtest.Query{})
		c.System(t, "open")
		return c
	}
	live("true", "1h").Event(t)
	without := live("false", "100ms")
	for range 20 {
		assert.Equal(t, event.TypeHeartbeat, without.Block(t).Type)
	}
}

// TestSharedSettingsReachAllOfLocal: the server, its clients, the log, and the
// demo producer, which publishes to that log.
func TestSharedSettingsReachAllOfLocal(t *testing.T) {
	t.Parallel()
	p := execute(t, map[string]string{"MAX_CONNECTIONS": "1", "RETRY": "1234ms", "STREAM": "ORDERS"})
	p.WaitReady()
	c := streamtest.Open(t, p.URL(), streamtest.Query{})
	c.System(t, "open")
	assert.Equal(t, "1234", c.Event(t).Retry)
	assert.Contains(t, p.Do(http.MethodGet, "/health").Body, `"name": "ORDERS"`)
	assert.Equal(t, http.StatusServiceUnavailable, p.Do(http.MethodGet, "/stream").Status)
}

func TestTheLogLevelIsForTheEmbeddedServerToo(t *testing.T) {
	t.Parallel()
	p := execute(t, map[string]string{"LOG_LEVEL": "warn"})
	p.Eventually(func() bool { return p.Stdout() != "" })
	require.NoError(t, p.Stop())
	assert.NotContains(t, p.Stderr(), `"level":"INFO"`)
}

// TestMaxEventBytesBindsTheDemoProducer: it keeps what it publishes in the limit
// of the log.
func TestMaxEventBytesBindsTheDemoProducer(t *testing.T) {
	t.Parallel()
	p := execute(t, map[string]string{"MAX_EVENT_BYTES": "10"})
	assert.Contains(t, p.Logged("event refused")["err"], "MAX_EVENT_BYTES allows 10")
}

// testNatsPassword: who has the URL that is printed may connect, and nobody else;
// no log has the password.
func testNatsPassword(t *testing.T) {
	withPassword := regexp.MustCompile(`nats://sluice:([^@]+)@127\.0\.0\.1:\d+`)
	store := t.TempDir()
	for _, set := range []string{"random", "canary-password"} {
		p := execute(t, map[string]string{"NATS_PASSWORD": set, "STORE_DIR": store, "LOG_LEVEL": "debug"})
		p.Eventually(func() bool { return withPassword.MatchString(p.Stdout()) })
		found := withPassword.FindStringSubmatch(p.Stdout())
		if set != "random" {
			assert.Equal(t, set, found[1])
		} else {
			assert.Greater(t, len(found[1]), 20)
		}
		kept, err := os.ReadFile(filepath.Join(store, "nats.url"))
		require.NoError(t, err)
		assert.Equal(t, found[0]+"\n", string(kept))
		conn, err := nats.Connect(found[0], nats.Timeout(natstest.Patience))
		require.NoError(t, err)
		conn.Close()
		_, err = nats.Connect(strings.Replace(found[0], "sluice:"+found[1]+"@", "", 1), nats.Timeout(natstest.Patience))
		require.ErrorIs(t, err, nats.ErrAuthorization)
		p.WaitReady()
		assert.NotContains(t, p.Stderr(), found[1])
		require.NoError(t, p.Stop())
		assert.NoFileExists(t, filepath.Join(store, "nats.url"))
	}
}
