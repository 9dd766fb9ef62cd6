package settings_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/settings"
)

func parseLocal(vars map[string]string, args ...string) (*settings.Local, error) {
	cfg, _, err := settings.ParseLocal(settings.Source{Args: args, Getenv: environment(vars), Stdout: io.Discard})
	return cfg, err
}

func TestBlankVariablesCountAsUnset(t *testing.T) {
	edge, local, publisher, err := settings.Models()
	require.NoError(t, err)
	for _, blank := range []string{"", " ", "\t\n"} {
		vars := map[string]string{}
		for _, all := range [][]setting{flags(edge.Node), flags(local.Node), flags(publisher.Node)} {
			for _, f := range all {
				vars[f.env] = blank
			}
		}
		for _, node := range publisher.Children {
			for _, f := range flags(node) {
				vars[f.env] = blank
			}
		}
		same := func(parse func(map[string]string) (any, error)) {
			t.Helper()
			want, err := parse(nil)
			require.NoError(t, err)
			got, err := parse(vars)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
		same(func(vars map[string]string) (any, error) { return parseEdge(vars) })
		same(func(vars map[string]string) (any, error) { return parseLocal(vars) })
		for _, command := range []string{settings.Demo, settings.Host} {
			same(func(vars map[string]string) (any, error) { return parsePublisher(vars, command) })
		}
		same(func(vars map[string]string) (any, error) { return parsePublisher(vars, settings.Stdin, "--topic=a") })
		cfg, err := parsePublisher(map[string]string{"CLOUD_RUN_EXECUTION": blank, "CLOUD_RUN_TASK_INDEX": "1"}, settings.Demo)
		require.NoError(t, err)
		assert.Empty(t, cfg.IDs())
	}
	cfg, err := parseLocal(nil, "--cors-origins=")
	require.NoError(t, err)
	assert.Empty(t, cfg.Server.CORSOrigins, "a blank flag is a value")
	_, err = parseEdge(nil, "--host=")
	assert.ErrorContains(t, err, "--host (HOST)")
}

func TestSpacesInListsMeanNothing(t *testing.T) {
	vars := map[string]string{
		"CORS_ORIGINS": " https://a.example , https://b.example", "FEED_FILTER": "events.a.>, events.b", "FUNCTIONS": "stream, health ",
		"NATS_URL": "nats://a:1, nats://b:2",
	}
	want := func(cfg *settings.Edge, err error) {
		t.Helper()
		require.NoError(t, err)
		assert.Equal(t, []string{"https://a.example", "https://b.example"}, cfg.Server.CORSOrigins)
		assert.Equal(t, []string{"a.>", "b"}, cfg.Feed.Filters())
		assert.Equal(t, []string{"stream", "health"}, cfg.Functions)
		assert.Equal(t, "nats://a:1,nats://b:2", cfg.NATS.Servers())
	}
	want(parseEdge(vars))
	var args []string
	for name, value := range vars {
		args = append(args, flagOf(name)+"="+value)
	}
	want(parseEdge(nil, args...))
}

func TestHostMayHaveBrackets(t *testing.T) {
	for host, addr := range map[string]string{
		"[::1]": "[::1]:8000", "::1": "[::1]:8000", "[::]": "[::]:8000", "localhost": "localhost:8000", "[fe80::1%eth0]": "[fe80::1%eth0]:8000",
	} {
		edge, err := parseEdge(map[string]string{"HOST": host})
		require.NoError(t, err)
		assert.Equal(t, addr, edge.Server.Addr())
		local, err := parseLocal(nil, "--host="+host)
		require.NoError(t, err)
		assert.Equal(t, addr, local.Server.Addr())
	}
}

func TestWhatOthersSetIsToldWithItsOrigin(t *testing.T) {
	const (
		kubernetes = "Kubernetes sets NATS_PORT for a service named nats: set it in the container too, or enableServiceLinks: false in the pod"
		conda      = "conda sets HOST for its compilers: unset it, or give --host"
	)
	linked := map[string]string{"NATS_PORT": "tcp://10.0.0.1:4222"}
	_, err := parseLocal(linked)
	assert.ErrorContains(t, err, `--nats-port (NATS_PORT) "tcp://10.0.0.1:4222": `)
	assert.ErrorContains(t, err, kubernetes)
	_, err = parseLocal(nil, "--nats-port=tcp://10.0.0.1:4222")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "Kubernetes", "it was a flag")
	_, err = parseLocal(linked, "--nats-port=4222")
	assert.NoError(t, err)
	_, err = parseEdge(linked)
	assert.NoError(t, err, "edge has no such setting")

	for _, vars := range []map[string]string{
		{"HOST": "x86_64-conda-linux-gnu"},
		{"HOST": "arm64-apple-darwin20.0.0", "CONDA_TOOLCHAIN_HOST": "arm64-apple-darwin20.0.0"},
	} {
		_, err = parseEdge(vars)
		require.ErrorContains(t, err, conda)
		assert.ErrorContains(t, err, `--host (HOST) "`+vars["HOST"]+`": want an address`)
		_, err = parseLocal(vars)
		require.ErrorContains(t, err, conda)
		_, err = parseLocal(vars, "--host=127.0.0.1")
		assert.NoError(t, err)
	}
	_, err = parseEdge(map[string]string{"HOST": "127.0.0.1", "CONDA_TOOLCHAIN_HOST": "x86_64-conda-linux-gnu"})
	assert.NoError(t, err)
}
