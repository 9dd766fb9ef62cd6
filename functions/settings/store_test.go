package settings_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/settings"
)

const kept = "nats://sluice:canary@127.0.0.1:4333"

// TestCommandsFindTheLaptopsNATS: in its directory, as long as it runs, and unless
// they are told another one.
func TestCommandsFindTheLaptopsNATS(t *testing.T) {
	t.Chdir(t.TempDir())
	found := func() string {
		t.Helper()
		p, err := parsePublisher(nil, "demo")
		require.NoError(t, err)
		e, err := parseEdge(nil)
		require.NoError(t, err)
		assert.Equal(t, p.NATS.URL, e.NATS.URL)
		assert.NotContains(t, p.NATS.Servers(), "canary", "for logs")
		return p.NATS.URL
	}
	assert.Equal(t, "nats://127.0.0.1:4222", found())
	local := settings.Embedded{StoreDir: ".sluice", NATSPassword: "x"}
	require.NoError(t, os.Mkdir(".sluice", 0o755))
	forget, err := local.KeepURL(kept)
	require.NoError(t, err)
	assert.Equal(t, kept, found())
	info, err := os.Stat(".sluice/nats.url")
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	p, err := parsePublisher(map[string]string{"NATS_URL": "nats://b:1"}, "demo")
	require.NoError(t, err)
	assert.Equal(t, "nats://b:1", p.NATS.URL)
	forget()
	assert.Equal(t, "nats://127.0.0.1:4222", found())

	_, err = local.KeepURL(kept)
	require.NoError(t, err)
	local.NATSPassword = ""
	_, err = local.KeepURL(kept)
	require.NoError(t, err)
	assert.Equal(t, "nats://127.0.0.1:4222", found(), "what an earlier run has left is gone")
}

// TestAFileOfOthersIsNotRead: they would learn what is published.
func TestAFileOfOthersIsNotRead(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir(".sluice", 0o755))
	require.NoError(t, os.WriteFile(".sluice/nats.url", []byte(kept), 0o644))
	require.NoError(t, os.Chmod(".sluice/nats.url", 0o644))
	_, err := parsePublisher(nil, "demo")
	assert.ErrorContains(t, err, "is not a file of this user alone (mode 0600)")
	require.NoError(t, os.Rename(".sluice/nats.url", "elsewhere"))
	require.NoError(t, os.Chmod("elsewhere", 0o600))
	require.NoError(t, os.Symlink("../elsewhere", ".sluice/nats.url"))
	_, err = parsePublisher(nil, "demo")
	assert.ErrorContains(t, err, "is not a file of this user alone (mode 0600)")
}
