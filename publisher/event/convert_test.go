package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/publisher/event"
)

func TestNamesOfOtherSystems(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"orders.eu":                      "orders.eu",
		"objects/a b.txt":                "objects.a_b.txt",
		"//pubsub.googleapis.com/topics": "pubsub.googleapis.com.topics",
		"urn:x:7":                        "urn.x.7",
		"straße":                         "stra_e",
		"a*":                             "a_",
		".>":                             "_",
	} {
		topic, err := event.TopicOf(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, topic)
	}
	for _, name := range []string{"", "/", "...", strings.Repeat("x", event.MaxTokenBytes+1), strings.Repeat("a/", event.MaxTokens+1), strings.Repeat("/", 1<<20)} {
		_, err := event.TopicOf(name)
		assert.ErrorIs(t, err, event.ErrTopic, name[:min(len(name), 20)])
	}
	for name, want := range map[string]string{"com.example/order": "com.example_order", "a b": "a_b"} {
		typ, err := event.TypeOf(name)
		require.NoError(t, err)
		assert.Equal(t, want, typ)
	}
	for _, name := range []string{"", "heartbeat", "open", strings.Repeat("x", event.MaxTypeBytes+1)} {
		_, err := event.TypeOf(name)
		assert.ErrorIs(t, err, event.ErrType, name)
	}
}

// FuzzNames: what is made of a name keeps to the grammar, or is an error, and a
// topic is itself.
func FuzzNames(f *testing.F) {
	f.Add("objects/a b.txt")
	f.Fuzz(func(t *testing.T, name string) {
		if topic, err := event.TopicOf(name); err == nil {
			require.NoError(t, event.CheckTopic(topic))
			again, err := event.TopicOf(topic)
			require.NoError(t, err)
			require.Equal(t, topic, again)
		}
		if event.CheckTopic(name) == nil {
			topic, err := event.TopicOf(name)
			require.NoError(t, err)
			require.Equal(t, name, topic)
		}
		if typ, err := event.TypeOf(name); err == nil {
			require.NoError(t, event.CheckType(typ))
		}
	})
}
