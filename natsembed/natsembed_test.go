package natsembed_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
	"sluice/natsembed/natstest"
)

func start(t *testing.T, o natsembed.Options) *natsembed.Server {
	t.Helper()
	s, err := natsembed.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, s *natsembed.Server) jetstream.JetStream {
	t.Helper()
	nc, err := s.Connect()
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

func TestStart(t *testing.T) {
	t.Run("on a free port it can be reached over TCP", func(t *testing.T) {
		s := start(t, natsembed.Options{StoreDir: t.TempDir(), Port: natsembed.FreePort})
		nc, err := nats.Connect(s.URL())
		require.NoError(t, err)
		defer nc.Close()
		assert.True(t, strings.HasPrefix(s.URL(), "nats://127.0.0.1:"), s.URL())
		assert.Equal(t, natsembed.DefaultName, nc.ConnectedServerName())
	})

	t.Run("it writes messages to the disk before it acknowledges them where asked", func(t *testing.T) {
		assert.True(t, start(t, natsembed.Options{StoreDir: t.TempDir(), SyncAlways: true}).SyncsAlways())
		assert.False(t, start(t, natsembed.Options{StoreDir: t.TempDir()}).SyncsAlways())
	})

	t.Run("in process only it has no address and still serves JetStream", func(t *testing.T) {
		s := start(t, natsembed.Options{StoreDir: t.TempDir()})
		assert.Empty(t, s.URL())
		assert.Nil(t, s.NATS().Addr())
		_, err := connect(t, s).CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: 1 << 30})
		assert.NoError(t, err)
	})

	t.Run("Configure has the last word", func(t *testing.T) {
		s := start(t, natsembed.Options{StoreDir: t.TempDir(), Port: natsembed.FreePort, Configure: func(o *server.Options) {
			o.Username, o.Password = "u", "p"
		}})
		_, err := nats.Connect(s.URL())
		assert.ErrorIs(t, err, nats.ErrAuthorization)
		nc, err := s.Connect(nats.UserInfo("u", "p"))
		require.NoError(t, err)
		nc.Close()
	})
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	used := t.TempDir()
	start(t, natsembed.Options{StoreDir: used})

	for _, test := range []struct {
		name string
		opts natsembed.Options
		want []string
	}{
		{"no store directory", natsembed.Options{}, []string{"STORE_DIR"}},
		{"a store directory in use", natsembed.Options{StoreDir: used}, []string{"STORE_DIR", used, "in use"}},
		{"a store directory that cannot be made", natsembed.Options{StoreDir: "/dev/null/x"}, []string{"STORE_DIR", "/dev/null/x"}},
		{"a port in use", natsembed.Options{StoreDir: t.TempDir(), Port: taken.Addr().(*net.TCPAddr).Port},
			[]string{"NATS_PORT", taken.Addr().String(), "in use", "-1"}},
		{"a port out of range", natsembed.Options{StoreDir: t.TempDir(), Port: 65536}, []string{"NATS_PORT 65536"}},
		{"a cluster without a port", natsembed.Options{StoreDir: t.TempDir(), Cluster: "c", ClusterPort: natsembed.FreePort}, []string{"NATS_PORT 0"}},
		{"settings the server refuses", natsembed.Options{StoreDir: t.TempDir(), Name: "a b"}, []string{"server name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			s, err := natsembed.Start(t.Context(), test.opts)
			require.Error(t, err)
			assert.Nil(t, s)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	natstest.CheckGoroutines(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := natsembed.Start(ctx, natsembed.Options{StoreDir: dir, Port: natsembed.FreePort})
	require.ErrorIs(t, err, context.Canceled)
	start(t, natsembed.Options{StoreDir: dir}) // the directory is unlocked
}

func TestShutdown(t *testing.T) {
	natstest.CheckGoroutines(t)
	dir := t.TempDir()
	s := start(t, natsembed.Options{StoreDir: dir, Port: natsembed.FreePort})
	nc, err := nats.Connect(s.URL(), nats.NoReconnect())
	require.NoError(t, err)
	defer nc.Close()
	js := connect(t, s)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	for range 100 {
		_, err = js.Publish(t.Context(), "s", []byte("kept"))
		require.NoError(t, err)
	}
	s.Shutdown()
	s.Shutdown() // again is no harm

	// The directory is free at once, and the events are still there.
	s = start(t, natsembed.Options{StoreDir: dir})
	stream, err := connect(t, s).Stream(t.Context(), "S")
	require.NoError(t, err)
	assert.EqualValues(t, 100, stream.CachedInfo().State.LastSeq)
	s.Shutdown()
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	s, err := natsembed.Start(t.Context(), natsembed.Options{
		StoreDir: t.TempDir(),
		Logger:   slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	require.NoError(t, err)
	s.Shutdown()
	assert.Empty(t, out.String(), "a plain start and stop says nothing above debug")

	s, err = natsembed.Start(t.Context(), natsembed.Options{
		StoreDir: t.TempDir(),
		Logger:   slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	s.Shutdown()
	assert.Contains(t, out.String(), `msg="Server is ready" from=nats-server`)
}

// TestTheLineOfTheShippedFileMakesEachMessageDurable: it is a comment there.
func TestTheLineOfTheShippedFileMakesEachMessageDurable(t *testing.T) {
	shipped, err := os.ReadFile("../infra/nats/nats.conf")
	require.NoError(t, err)
	for _, name := range []string{"EDGE_PASSWORD", "PUBLISHER_PASSWORD", "OPERATOR_PASSWORD"} {
		t.Setenv(name, "secret")
	}
	const line = "sync_interval: always"
	for conf, always := range map[string]bool{string(shipped): false, strings.Replace(string(shipped), "# "+line, line, 1): true} {
		file := filepath.Join(t.TempDir(), "nats.conf")
		require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
		opts, err := server.ProcessConfigFile(file)
		require.NoError(t, err)
		assert.Equal(t, always, opts.SyncAlways)
	}
}
