package reader_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/reader"
	"sluice/natsembed/natstest"
)

// warning is what the log says of strays.
type warning struct {
	Level, Msg, Example, Why, Grammar, Remedy string
	Events                                    int
}

// strayed is the warning of an example.
func strayed(events int, example, why string) warning {
	return warning{
		Level: "WARN", Msg: "events reach nobody: their subject is outside the topic grammar",
		Events: events, Example: example, Why: why,
		Grammar: "1 to 16 tokens of 1 to 64 characters from A-Z a-z 0-9 _ -, joined by dots",
		Remedy:  "publish them to events.TOPIC with a topic of this grammar",
	}
}

func TestStraysAreWarnedOfOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(bytes.Buffer)
		s := reader.NewStrays(slog.New(slog.NewJSONHandler(log, nil)))
		assertWarned := func(want ...warning) {
			t.Helper()
			var got []warning
			for lines := json.NewDecoder(log); lines.More(); {
				var w warning
				require.NoError(t, lines.Decode(&w))
				got = append(got, w)
			}
			assert.Equal(t, want, got)
		}
		const letters = "tokens are made of A-Z a-z 0-9 _ -, joined by dots"
		s.Note("events.a:b")
		assertWarned(strayed(1, "events.a:b", `invalid topic "a:b": `+letters))
		for range 1000 {
			s.Note("events.a/b")
		}
		<-time.After(time.Minute - time.Nanosecond)
		s.Note("events.a/b")
		assertWarned()

		<-time.After(time.Nanosecond)
		s.Note("events.user@example.com")
		assertWarned(strayed(1002, "events.user@example.com", `invalid topic "user@example.com": `+letters))

		<-time.After(time.Hour)
		s.Note("events" + strings.Repeat(".a", 21))
		assertWarned(strayed(1, "events"+strings.Repeat(".a", 21), `invalid topic "`+strings.Repeat("a.", 20)+`a": more than 16 tokens`))

		<-time.After(time.Hour)
		s.Note("events." + strings.Repeat("a", 5000))
		assertWarned(strayed(1, "events."+strings.Repeat("a", 121), "invalid topic: 5000 bytes, at most 1039 are allowed"))
	})
}

// TestReaderPassesOverStrays and says so; what has a topic is told.
func TestReaderPassesOverStrays(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(1, "a", 1)
	for _, subject := range []string{"events.a:b", "events.user@example.com", "events.a/b", "events" + strings.Repeat(".a", 21)} {
		r.PublishMsgs(1, &nats.Msg{Subject: subject})
	}
	r.Publish(1, "a", 1)
	r.assertTold(6, "1 a", "6 a")
	assert.Equal(t, "events.a:b", natstest.Receive(t, r.why.examples))
	assert.Empty(t, r.why.examples, "one warning a minute")
}
