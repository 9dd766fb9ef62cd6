package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEqualDurationsMeetInOneSecond: clients that send the same duration within a
// second ask for the same time, if that hardly matters for them.
func TestEqualDurationsMeetInOneSecond(t *testing.T) {
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]map[time.Duration]time.Duration{
		"10m":                    {0: -10 * time.Minute, 999 * time.Millisecond: -10 * time.Minute},
		"1d":                     {time.Nanosecond: -24 * time.Hour},
		"60.5s":                  {200 * time.Millisecond: -61 * time.Second},
		"59.9s":                  {100 * time.Millisecond: 100*time.Millisecond - 59900*time.Millisecond},
		"0s":                     {123 * time.Millisecond: 123 * time.Millisecond},
		"2026-01-02T03:04:05.5Z": {time.Hour: 500 * time.Millisecond},
	} {
		for now, want := range want {
			got, bad := since(text, second.Add(now))
			require.Nil(t, bad)
			assert.Equal(t, second.Add(want), got.UTC(), "%s at %v", text, now)
		}
	}
}
