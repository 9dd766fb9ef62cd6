package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain lets this binary be the attackers of a test, as the command is its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "--as" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestNothingIsLostUnderAttempts, shortly: that it works, and what it says.
func TestNothingIsLostUnderAttempts(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--rounds=1", "--duration=1s", "--events=100", "--settle=0s", "--attack=attempts,overlap"}, &out), out.String())
	assert.Regexp(t, `(?m)^attempts +p50 .* \| p99 .* \| lost 0 \| [1-9]\d* attempts .*401 Unauthorized:`, out.String())
	assert.Regexp(t, `(?m)^overlap +p50 .* \| lost 0 \| [1-9]\d* attempts .*200 OK:`, out.String())
	assert.ErrorContains(t, run(t.Context(), []string{"--attack=x"}, &out), "want one of ahead, attempts")
}
