package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/fault"
)

func TestHelpTellsEveryFlagAndTheFaultsAreListed(t *testing.T) {
	var out bytes.Buffer
	_, done, err := parse([]string{"--help"}, &out)
	require.NoError(t, err)
	require.True(t, done)
	for _, flag := range []string{"--duration", "--seed", "--faults", "--without", "--each", "--edge", "--silence"} {
		require.Contains(t, out.String(), flag)
	}
	out.Reset()
	_, done, err = parse([]string{"--list"}, &out)
	require.NoError(t, err)
	require.True(t, done)
	for _, name := range fault.Names() {
		require.Contains(t, out.String(), name)
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, _, err := parse([]string{"--duration=0s", "--rate=0", "--clients=0", "--mixed=2", "--env=x", "--faults=earthquake"}, &bytes.Buffer{})
	for _, wrong := range []string{"--duration", "--rate", "--clients", "--mixed", "--env", "earthquake"} {
		require.ErrorContains(t, err, wrong)
	}
}

func TestFaultsAreChosen(t *testing.T) {
	cfg, _, err := parse([]string{"--faults=purge,edge-kill", "--without=purge"}, &bytes.Buffer{})
	require.NoError(t, err)
	require.Len(t, cfg.chosen, 1)
	require.Equal(t, "edge-kill", cfg.chosen[0].Name)
	_, _, err = parse([]string{"--faults=purge", "--without=purge"}, &bytes.Buffer{})
	require.ErrorContains(t, err, "leave nothing")
}
