package stamp_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/infra/bench/stamp"
)

func TestPayloadIsJSONOfTheAnnouncedLength(t *testing.T) {
	b := stamp.Append(nil, time.Now().UnixNano(), 42, 160)
	assert.True(t, json.Valid(b), "%s", b)
	assert.Len(t, b, stamp.Around+160)
}

func TestStampRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp.Stamp{
			At:  rapid.Int64Range(0, 1<<62).Draw(t, "at"),
			Seq: rapid.Uint32Range(0, stamp.MaxSeq).Draw(t, "seq"),
		}
		noise := rapid.SliceOf(rapid.SampledFrom([]byte("EVT0123:\n "))).Draw(t, "noise")
		noise = []byte(strings.TrimRight(string(noise), "EVT0123456789:"))
		b := stamp.Append(noise, want.At, want.Seq, rapid.IntRange(0, 50).Draw(t, "pad"))
		got, start, end := stamp.Next(b)
		require.Equal(t, want, got)
		require.Equal(t, len(noise)+len(`{"m":"`), start)
		require.Equal(t, start+stamp.Bytes, end)
	})
}

func TestNext(t *testing.T) {
	const whole = "EVT1732352352123456789:00000042"
	for _, tc := range []struct {
		name, text string
		start, end int
	}{
		{"nothing", "id: 1\ndata: {}\n\n", -1, -1},
		{"empty", "", -1, -1},
		{"alone", whole, 0, 31},
		{"inside", "data: " + whole + "\n", 6, 37},
		{"cut short", "data: " + whole[:30], 6, -1},
		{"marker only", "EVT", 0, -1},
		{"after a marker that is none", "EVT17323523521234567x9:00000042 EVT " + whole, 36, 67},
		{"letters in the number", "EVT1732352352123456789:0000004a", -1, -1},
		{"above nine", "EVT1732352352123456789:0000004:", -1, -1},
		{"no colon", "EVT17323523521234567890 0000042", -1, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, start, end := stamp.Next([]byte(tc.text))
			assert.Equal(t, tc.start, start)
			assert.Equal(t, tc.end, end)
			if end > 0 {
				assert.Equal(t, stamp.Stamp{At: 1732352352123456789, Seq: 42}, s)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	payload := stamp.Append(nil, time.Now().UnixNano(), 42, 160)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, end := stamp.Next(payload); end < 0 {
			b.Fatal("no stamp")
		}
	}
}
