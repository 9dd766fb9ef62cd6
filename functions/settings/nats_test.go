package settings_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/settings"
)

func TestSecretsAreRedacted(t *testing.T) {
	for _, tc := range []struct{ url, shown string }{
		{"nats://u:secret@a:4222, tls://secret@b,c:1", "nats://u:xxxxx@a:4222,tls://xxxxx@b,nats://c:1"},
		{"nats://u:sec%ret@a", "(not a URL)"},
		{"nats://u:12/secret@a", "(not a URL)"},
		{"nats://u:12?secret@a", "(not a URL)"},
		{"nats://u:12#secret@a", "(not a URL)"},
		{"nats://u:secret@12/secret@a", "(not a URL)"},
		{"nats://secret/secret@a", "(not a URL)"},
		{"u:12/secret@a", "(not a URL)"},
		{"u:secret://12@a", "(not a URL)"},
		{"nats://u:se@cret@a", "nats://u:xxxxx@a"},
		{"nats://b:1,nats://u:12,34,se:cret@a", "nats://b:1,(not shown),(not shown),nats://se:xxxxx@a"},
		{"nats://u:secret,ret@a", "(not shown),nats://xxxxx@a"},
		{"wss://u:secret@a/nats?x=%40", "wss://u:xxxxx@a/nats?x=%40"},
		{"nats://[::1]:4222", "nats://[::1]:4222"},
	} {
		assert.Equal(t, tc.shown, (&settings.NATS{URL: tc.url}).Servers(), tc.url)
	}
}

func TestPasswordsThatAreNotEncodedAreToldWithoutThem(t *testing.T) {
	for _, url := range []string{
		"nats://u:secret@a,http://u:secret@b", "nats://u:secret/1@h", "nats://u:12/secret@h", "nats://u:12#secret@h", "nats://u:12?secret@h",
		"nats://u:sec%ret@h", "nats://u:sec ret@h", "nats://u:sec[ret@h", "u:12/secret@h", "nats://u:secret,secret@h",
	} {
		for _, parse := range []func(map[string]string) error{
			func(vars map[string]string) error { _, err := parseEdge(vars); return err },
			func(vars map[string]string) error { _, err := parsePublisher(vars, "demo"); return err },
		} {
			err := parse(map[string]string{"NATS_URL": url})
			require.ErrorContains(t, err, "--nats-url (NATS_URL) ", url)
			assert.ErrorContains(t, err, "percent-encoded, such as %2F for /", url)
			assert.NotContains(t, err.Error(), "sec", url)
			assert.NotContains(t, err.Error(), "12", url)
		}
	}
	cfg, err := parseEdge(map[string]string{"NATS_URL": "nats://u:12%2Fsec%25%2C%40@h, ws://h/path%40"})
	require.NoError(t, err)
	assert.Equal(t, "nats://u:xxxxx@h,ws://h/path%40", cfg.NATS.Servers())
	_, err = parseEdge(map[string]string{"NATS_URL": "http://h"})
	assert.ErrorContains(t, err, `"http://h"`)
	assert.NotContains(t, err.Error(), "percent-encoded", "there is no password")
}
