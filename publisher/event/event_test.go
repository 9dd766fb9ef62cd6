package event_test

import (
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/publisher/event"
)

func TestTopicGrammar(t *testing.T) {
	for _, tc := range []struct {
		name          string
		text          string
		topic, filter bool
	}{
		{"one token", "metric", true, true},
		{"two tokens", "metric.cpu_usage", true, true},
		{"all characters", "AZaz09_-", true, true},
		{"sixteen tokens", strings.Repeat("a.", 15) + "a", true, true},
		{"longest token", strings.Repeat("a", 64), true, true},
		{"star", "metric.*", false, true},
		{"star first", "*.error", false, true},
		{"rest", "metric.>", false, true},
		{"everything", ">", false, true},
		{"empty", "", false, false},
		{"dots", "..", false, false},
		{"leading dot", ".a", false, false},
		{"trailing dot", "a.", false, false},
		{"double dot", "a..b", false, false},
		{"rest not last", "a.>.b", false, false},
		{"star in a token", "a*", false, false},
		{"system subject", "$JS.>", false, false},
		{"space", "a b", false, false},
		{"NUL", "a\x00b", false, false},
		{"line feed", "a\nb", false, false},
		{"not ASCII", "métrique", false, false},
		{"seventeen tokens", strings.Repeat("a.", 16) + "a", false, false},
		{"token too long", strings.Repeat("a", 65), false, false},
		{"a megabyte", strings.Repeat("a", 1<<20), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic, filter := event.CheckTopic(tc.text), event.CheckFilter(tc.text)
			assert.Equal(t, tc.topic, topic == nil, "topic: %v", topic)
			assert.Equal(t, tc.filter, filter == nil, "filter: %v", filter)
			if topic != nil {
				assert.ErrorIs(t, topic, event.ErrTopic)
				assert.Less(t, len(topic.Error()), 400, "an error must not carry the input along")
			}
		})
	}
}

func TestTopicOfSubject(t *testing.T) {
	topic, ok := event.Topic(event.Subject("metric.cpu"))
	assert.True(t, ok)
	assert.Equal(t, "metric.cpu", topic)
	for _, bad := range []string{"", "events", "events.", "metrics.cpu", "events.a b"} {
		_, ok := event.Topic(bad)
		assert.False(t, ok, bad)
	}
}

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		wide, filter string
		want         bool
	}{
		{">", "a", true}, {">", ">", true}, {">", "a.*", true}, {"a.>", "a.b", true}, {"a.>", "a", false},
		{"a.*", "a.b", true}, {"a.*", "a.>", false}, {"a.*", "a.b.c", false}, {"*", ">", false}, {"*", "*", true},
		{"a.b", "a.*", false}, {"*.*", "a.b", true}, {"*.>", "a.>", true}, {"a.>", ">", false}, {"a", "a.b", false},
	} {
		assert.Equal(t, tc.want, event.Covers(tc.wide, tc.filter), "%s covers %s", tc.wide, tc.filter)
	}
}

func TestIDIsTheDocumentedUUID(t *testing.T) {
	id := event.ID{Epoch: 0x0198f5aa3c1d, Seq: 42}
	assert.Equal(t, "0198f5aa-3c1d-8000-8000-00000000002a", id.String())
	assert.Equal(t, uuid.Version(8), id.UUID().Version())
	assert.Equal(t, uuid.RFC4122, id.UUID().Variant())
}

func genID(name string) *rapid.Generator[event.ID] {
	return rapid.Custom(func(t *rapid.T) event.ID {
		return event.ID{
			Epoch: rapid.Int64Range(0, event.MaxEpoch).Draw(t, name+" epoch"),
			Seq:   rapid.Uint64Range(0, event.MaxSeq).Draw(t, name+" seq"),
		}
	})
}

func TestIDRoundTripsAndSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genID("a").Draw(t, "a"), genID("b").Draw(t, "b")
		for _, id := range []event.ID{a, b} {
			for _, text := range []string{id.String(), strings.ToUpper(id.String())} {
				got, err := event.ParseID(text)
				require.NoError(t, err)
				require.Equal(t, id, got)
			}
			require.Equal(t, id.UUID().String(), id.String())
		}
		before := a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Seq < b.Seq
		require.Equal(t, before, sort.StringsAreSorted([]string{a.String(), b.String()}) && a != b)
	})
}

func TestForeignIDsAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "-1", "42", uuid.NewString(), "0198f5aa-3c1d-7000-8000-00000000002a", "0198f5aa-3c1d-8001-8000-00000000002a",
		"0198f5aa-3c1d-8000-c000-00000000002a", "{0198f5aa-3c1d-8000-8000-00000000002a}", "0198f5aa3c1d8000800000000000002a",
		"0198f5aa-3c1d-8000-8000-00000000002g", strings.Repeat("a", 1<<20),
	} {
		_, err := event.ParseID(text)
		assert.ErrorIs(t, err, event.ErrID)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0198f5aa-3c1d-8000-8000-00000000002a")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := event.ParseID(text); err == nil && !strings.EqualFold(id.String(), text) {
			t.Fatalf("%q parsed as %v", text, id)
		}
	})
}

func FuzzCheckFilter(f *testing.F) {
	f.Add("metric.>")
	f.Add("a..b")
	f.Fuzz(func(t *testing.T, text string) {
		if event.CheckTopic(text) == nil && (event.CheckFilter(text) != nil || !event.Covers(">", text) || !event.Covers(text, text)) {
			t.Fatalf("%q is a topic but no filter of itself", text)
		}
	})
}

func TestTypeGrammar(t *testing.T) {
	for _, ok := range []string{"data", "metric.v1", "A-z_0"} {
		assert.NoError(t, event.CheckType(ok))
	}
	for _, bad := range []string{"", "heartbeat", "system", "open", "error", "a b", "a\nb", "é", strings.Repeat("a", 65)} {
		assert.ErrorIs(t, event.CheckType(bad), event.ErrType, bad)
	}
}

func TestEpoch(t *testing.T) {
	created := time.UnixMilli(1_755_000_000_123)
	info := &jetstream.StreamInfo{Created: created}
	got, err := event.Epoch(info)
	require.NoError(t, err)
	assert.Equal(t, created.UnixMilli(), got)

	info.Config.Metadata = map[string]string{"epoch": "1700000000000"}
	got, err = event.Epoch(info)
	require.NoError(t, err)
	assert.EqualValues(t, 1_700_000_000_000, got, "metadata wins")

	for _, bad := range []string{"", "x", "-1", "999999999999999"} {
		info.Config.Metadata["epoch"] = bad
		_, err = event.Epoch(info)
		assert.Error(t, err, bad)
	}
}
