package publisher_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestAnotherModuleUsesThePackageFromAClone makes the module that README.md
// shows, and runs it. Nothing is downloaded.
func TestAnotherModuleUsesThePackageFromAClone(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	block := func(kind string) string {
		_, rest, ok := strings.Cut(string(readme), "```"+kind+"\n")
		require.True(t, ok, "README.md has no block %s", kind)
		text, _, ok := strings.Cut(rest, "```\n")
		require.True(t, ok)
		return text
	}
	mod := block("go.mod")
	const clone = "=> ../sluice\n"
	require.Contains(t, mod, clone)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  strings.Replace(mod, clone, "=> "+root+"\n", 1),
		"go.sum":  string(sums),
		"main.go": block("go"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}

	srv := natstest.Start(t)
	js := srv.JetStream(t)
	_, err = event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	// Not go run, which would leave its child when it is killed.
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "shop", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, duplicate := range []bool{false, true} {
		shop := exec.CommandContext(t.Context(), filepath.Join(dir, "shop"))
		shop.Env = append(os.Environ(), "NATS_URL="+srv.URL())
		out, err = shop.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, fmt.Sprintf("order-19 %s %t <nil>\n", idOf(t, js, 1), duplicate), string(out))
	}
	assert.Equal(t, []string{`{"order":19}`}, payloads(stored(t, js)))
}
