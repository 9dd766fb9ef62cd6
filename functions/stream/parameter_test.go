package stream_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// parameters are ours, and aliases what clients send for them.
var (
	parameters = []string{"topic", "last_event_id", "since", "from", "last", "format", "busy", "id"}
	aliases    = []string{"topic[]", "lastEventId", "last-event-id", "Last-Event-ID"}
)

// unready is a handler whose feed does not run: what it would serve is 503, at
// once.
func unready(tb testing.TB, change ...func(*stream.Config)) *stream.Handler {
	tb.Helper()
	encoder := sse.NewEncoder("EVENTS", 0, 0)
	fd, err := feed.New(feed.Config{Conn: natstest.Start(tb).Connect(tb), Wire: encoder})
	require.NoError(tb, err)
	cfg := stream.Config{Feed: fd, Encoder: encoder, StartTimeout: time.Nanosecond}
	for _, c := range change {
		c(&cfg)
	}
	return stream.New(cfg)
}

// answer is what a handler says to a query: a status, and the JSON's fields.
func answer(h http.Handler, query string) (status int, code, message string) {
	r := httptest.NewRequest(http.MethodGet, "/stream", nil)
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var e struct{ Error, Message string }
	_ = json.Unmarshal(w.Body.Bytes(), &e)
	return w.Code, e.Error, e.Message
}

func TestAMisspeltParameterIsToldTheRightOne(t *testing.T) {
	h := unready(t)
	for _, tt := range []struct{ sent, meant string }{
		{"topics", "topic"}, {"Topic", "topic"}, {"TOPICS", "topic"}, {"topics[]", "topic"}, {"topic[0]", "topic"}, {"topic[name]", "topic"},
		{"[topic", "topic"},
		{"Topic[]", "topic"}, {"tpoic", "topic"}, {"topc", "topic"}, {"topik", "topic"}, {" topic", "topic"}, {"topic1", "topic"},
		{"lastEventID", "last_event_id"}, {"LAST_EVENT_ID", "last_event_id"}, {"lasteventid", "last_event_id"},
		{"last_event_ids", "last_event_id"}, {"Last-Event-Id", "last_event_id"}, {"lastEventsId", "last_event_id"},
		{"Since", "since"}, {"sicne", "since"}, {"From", "from"}, {"form", "from"}, {"Last", "last"}, {"lst", "last"}, {"formats", "format"}, {"Busy", "busy"},
		{"ID", "id"}, {"Id", "id"}, {"id[]", "id"}, {"ids", "id"}, {"di", "id"}, {"uid", "id"},
	} {
		t.Run(tt.sent, func(t *testing.T) {
			status, code, message := answer(h, "topic=a&"+url.QueryEscape(tt.sent)+"=last")
			assert.Equal(t, http.StatusBadRequest, status)
			assert.Equal(t, "bad_query", code)
			assert.Equal(t, fmt.Sprintf("there is no parameter %q; use %q", tt.sent, tt.meant), message)
		})
	}
}

func TestWhatIsNoParameterIsIgnored(t *testing.T) {
	h := unready(t)
	for _, name := range []string{"", "_", "t", "ts", "v", "r", "cb", "rnd", "nocache", "cachebust", "bust", "utm_source", "token", "uid", "sid", "cid", "_id", "[]"} {
		t.Run(name, func(t *testing.T) {
			status, code, _ := answer(h, url.QueryEscape(name)+"=1764114442")
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.Equal(t, "starting", code)
		})
	}
}

// TestNoMisspeltParameterIsTakenForAnother puts one mistake into each name.
func TestNoMisspeltParameterIsTakenForAnother(t *testing.T) {
	h := unready(t)
	letter := rapid.RuneFrom([]rune("abcdefghijklmnopqrstuvwxyzABCXYZ_-"))
	rapid.Check(t, func(t *rapid.T) {
		meant := rapid.SampledFrom(parameters).Draw(t, "meant")
		sent := []rune(meant)
		at := rapid.IntRange(0, len(sent)-1).Draw(t, "at")
		switch rapid.SampledFrom([]string{"other case", "plural", "more", "less", "other", "swapped"}).Draw(t, "mistake") {
		case "other case":
			sent[at] = unicode.ToUpper(sent[at])
		case "plural":
			sent = append(sent, 's')
		case "more":
			sent = slices.Insert(sent, at, letter.Draw(t, "letter"))
		case "less":
			sent = slices.Delete(sent, at, at+1)
		case "other":
			sent[at] = letter.Draw(t, "letter")
		case "swapped":
			at = min(at, len(sent)-2)
			sent[at], sent[at+1] = sent[at+1], sent[at]
		}
		name := string(sent)
		if slices.Contains(parameters, name) || slices.Contains(aliases, name) || name == "bust" {
			t.Skip("no mistake")
		}
		status, code, message := answer(h, url.QueryEscape(name)+"=first")
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Equal(t, "bad_query", code, name)
		require.Contains(t, message, fmt.Sprintf("use %q", meant), name)
	})
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// TestTopicsOfAFormLibrary are topics: more than asked for would be everything.
func TestTopicsOfAFormLibrary(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		c := r.open(t, streamtest.Query{Topics: []string{"a"}, Params: url.Values{"topic[]": {"b", ""}}})
		c.System(t, "open")
		r.log.Publish("c", "b", "c", "a")
		assert.Equal(t, r.log.ID(2), c.Event(t).ID)
		assert.Equal(t, r.log.ID(4), c.Event(t).ID)
	})
}
