package load_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

func TestAnEventSaysWhichOneItIs(t *testing.T) {
	data := load.Render(1<<40+7, 3)
	key, topic, err := load.Parse(data)
	require.NoError(t, err)
	require.Equal(t, oracle.Key(1<<40+7), key)
	require.Equal(t, 3, topic)
	for i := range data {
		broken := append([]byte(nil), data...)
		broken[i] ^= 1
		key, topic, err := load.Parse(broken)
		require.False(t, err == nil && key == 1<<40+7 && topic == 3, "byte %d is another one, and nobody notices", i)
	}
}

func TestTheTopicsOfARunAreTopics(t *testing.T) {
	for _, topic := range load.Topics() {
		require.NoError(t, event.CheckTopic(topic))
	}
}
