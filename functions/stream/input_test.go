package stream_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestBadRequests(t *testing.T) {
	many := url.Values{}
	for i := range 10_000 {
		many.Add("topic", fmt.Sprintf("t%d", i))
	}
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		for _, tt := range []struct{ name, query, code string }{
			{"dots", "topic=..", "bad_topic"},
			{"a leading dot", "topic=.a", "bad_topic"},
			{"a trailing dot", "topic=a.", "bad_topic"},
			{"JetStream's API", "topic=$JS.>", "bad_topic"},
			{"the system account", "topic=%24SYS.%3E", "bad_topic"},
			{"a space", "topic=a%20b", "bad_topic"},
			{"NUL", "topic=a%00b", "bad_topic"},
			{"line ends", "topic=a%0d%0ab", "bad_topic"},
			{"rest in the middle", "topic=a.>.b", "bad_topic"},
			{"a star in a token", "topic=a*", "bad_topic"},
			{"not UTF-8", "topic=%ff", "bad_topic"},
			{"seventeen tokens", "topic=a" + strings.Repeat(".a", 16), "bad_topic"},
			{"a good one and a bad one", "topic=a&topic=..", "bad_topic"},
			{"more than 2048 bytes of topics", "topic=a" + strings.Repeat(".a", 15) + strings.Repeat("&topic="+strings.Repeat("b", 64)+"."+strings.Repeat("b", 64), 16), "bad_topic"},
			{"33 topics", strings.Repeat("topic=a&", 33), "bad_topic"},
			{"10,000 topics", many.Encode(), "bad_topic"},
			{"a long topic", "topic=" + strings.Repeat("a", 100_000), "bad_topic"},
			{"bad escape", "topic=%zz", "bad_query"},
			{"a semicolon", "topic=a;b", "bad_query"},
			{"since of nothing", "since=yesterday", "bad_since"},
			{"since before the epoch", "since=0001-01-01T00:00:00Z", "bad_since"},
			{"since a negative duration", "since=-5m", "bad_since"},
			{"since too long ago for a duration", "since=99999999h", "bad_since"},
			{"since a date", "since=2026-01-02", "bad_since"},
			{"since days ago that are not whole", "since=1.5d", "bad_since"},
			{"since days to come", "since=1d-25h", "bad_since"},
			{"since Unix seconds before the epoch", "since=-1", "bad_since"},
			{"since Unix seconds of 1970", "since=0", "bad_since"},
			{"since Unix milliseconds", "since=1764114442000", "bad_since"},
			{"since more than Unix seconds", "since=9223372036854775807", "bad_since"},
			{"a bad since before a good last", "since=x&last=1", "bad_since"},
			{"misspelt", "topics=a", "bad_query"},
			{"from the end", "from=end", "bad_from"},
			{"from the start in capitals", "from=START", "bad_from"},
			{"last of none", "last=0", "bad_last"},
			{"last negative", "last=-1", "bad_last"},
			{"last of many", "last=1048577", "bad_last"},
			{"last of more than a number", "last=99999999999999999999", "bad_last"},
			{"last of words", "last=ten", "bad_last"},
			{"a format", "format=xml", "bad_format"},
			{"a way to be told that the edge is busy", "busy=yes", "bad_busy"},
			{"a line for the id", "id=42", "bad_id"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client := &http.Client{Timeout: natstest.Patience, Transport: &http.Transport{
					DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as streamtest.Dial
				}}
				resp, err := client.Get(r.edge.URL + "/stream?" + tt.query)
				require.NoError(t, err)
				defer resp.Body.Close()
				assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
				assertError(t, tt.code, resp)
			})
		}
		assert.Zero(t, r.edge.Feed.Count())
	})
}

// TestAnyCursor: whatever a client claims to have seen, it is told in-band and
// never started from the beginning unasked.
func TestAnyCursor(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		first := r.live(t)
		r.log.PublishN(3, "a")
		first.Events(t, 3)
		for _, tt := range []struct {
			name, cursor string
			reason       wire.Reason
			after        uint64
		}{
			{"a number", "42", "unknown", 3},
			{"minus one", "-1", "unknown", 3},
			{"a random UUID", uuid.NewString(), "unknown", 3},
			{"a UUIDv7", uuid.Must(uuid.NewV7()).String(), "unknown", 3},
			{"a nil UUID", uuid.Nil.String(), "unknown", 3},
			{"an id in braces", "{" + r.log.ID(1) + "}", "unknown", 3},
			{"an id and more", r.log.ID(1) + "0", "unknown", 3},
			{"two ids", r.log.ID(1) + " " + r.log.ID(2), "unknown", 3},
			{"HTML", `"><script>alert(1)</script>`, "unknown", 3},
			{"not UTF-8", "\xff\xfe", "unknown", 3},
			{"long", strings.Repeat("x", 100_000), "unknown", 3},
			{"another epoch", event.ID{Epoch: 1, Seq: 2}.String(), "recreated", 0},
			{"the far end of another epoch", event.ID{Epoch: event.MaxEpoch, Seq: event.MaxSeq}.String(), "recreated", 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				for _, q := range []streamtest.Query{{LastID: tt.cursor}, {Params: url.Values{"last_event_id": {tt.cursor}}}} {
					c := r.open(t, q)
					open := c.System(t, "open")
					s := open.System()
					assert.Equal(t, "gap", s.Resumed)
					assert.Equal(t, tt.reason, s.Reason)
					assert.Equal(t, r.log.ID(tt.after), open.ID)
					assert.LessOrEqual(t, len(s.Requested), sse.MaxRequestedBytes)
					assert.True(t, utf8.ValidString(s.Requested))
				}
			})
		}
		e := r.log.Publish("a")
		assert.Equal(t, e.Data, first.Event(t).Data, "nobody else is concerned")
	})
}

// TestHugeCursor is over what net/http reads of a request's head.
func TestHugeCursor(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		huge := strings.Repeat("x", 1<<20)
		for _, q := range []streamtest.Query{{LastID: huge}, {Params: url.Values{"last_event_id": {huge}}}} {
			c, err := streamtest.Connect(r.edge.URL, q)
			require.NoError(t, err)
			switch c.Response.StatusCode {
			case http.StatusOK:
				assert.EqualValues(t, "unknown", c.System(t, "open").System().Reason)
			default:
				assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, c.Response.StatusCode)
			}
			c.Close()
		}
		r.live(t)
	})
}

// FuzzRequest: any query and any cursor give a JSON error or a stream, and only
// a good one gets as far as the feed, which here is not ready.
func FuzzRequest(f *testing.F) {
	h := unready(f)
	f.Add("topic=a&topic=b.>&last=5", "")
	f.Add("topic=..&since=10m", "-1")
	f.Add("last_event_id=x&format=cloudevents&busy=inband", "0198f5aa-3c1d-8000-8000-00000000002a")
	f.Add("since=2611-01-01T00:00:00Z&topic=", "\xff")
	f.Add("since=2026-01-02T15:04:05+02:00&topic[]=a&_=1", "")
	f.Add("since=7d12h&lastEventId=x&Last-Event-ID=", "")
	f.Add("from=start&last=1", "")
	f.Add("id=last&uid=1&sid=last", "")
	f.Add("topics=a&Topic=b&tpoic=c&topic[0]=d", "")
	f.Fuzz(func(t *testing.T, query, cursor string) {
		r := httptest.NewRequest(http.MethodGet, "/stream", nil)
		r.URL.RawQuery = query
		r.Header.Set("Last-Event-ID", cursor)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		values, parseErr := url.ParseQuery(query)
		switch w.Code {
		case http.StatusOK:
			if values.Get("busy") != "inband" || !strings.Contains(w.Body.String(), `"type":"busy"`) {
				t.Fatalf("%q: %s", query, w.Body)
			}
		case http.StatusBadRequest, http.StatusServiceUnavailable:
			var e struct{ Error, Message string }
			if json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Error == "" || e.Message == "" || w.Body.Len() > 1000 {
				t.Fatalf("%q: %s", query, w.Body)
			}
			if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Fatalf("%q: no Retry-After", query)
			}
		default:
			t.Fatalf("%q: %d", query, w.Code)
		}
		if w.Code == http.StatusBadRequest {
			return
		}
		if parseErr != nil {
			t.Fatalf("%q was accepted: %v", query, parseErr)
		}
		for name := range values {
			known := slices.Contains(parameters, name) || slices.Contains(aliases, name) || name == "bust"
			for _, p := range parameters {
				if p == "id" && !slices.Contains(values[name], "first") && !slices.Contains(values[name], "last") {
					continue // uid and sid are others'
				}
				if !known && distance(strings.ToLower(name), p) <= 1 {
					t.Fatalf("%q was ignored and looks like %s", name, p)
				}
			}
		}
		for _, topic := range slices.Concat(values["topic"], values["topic[]"]) {
			if topic != "" && event.CheckFilter(topic) != nil {
				t.Fatalf("the topic %q was accepted", topic)
			}
		}
	})
}

// TestClientsThatTalk: what a client sends behind its request is thrown away,
// and hides its close no longer than until the next write; directly not even
// that long.
func TestClientsThatTalk(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		var o streamtest.Options
		way(&o)
		r := newRig(t, way, func(e *streamtest.Options) {
			if o.Stream.ThroughHTTP {
				e.Feed.HeartbeatInterval = 64 * time.Millisecond
			}
		})
		junk := []byte(strings.Repeat("GET /stream HTTP/1.1\r\n\r\n", 5000))
		for range 5 {
			conn, err := streamtest.Dial(r.edge.URL, streamtest.Query{})
			require.NoError(t, err)
			_, _ = conn.Write(junk) // it may be cut for it
			require.NoError(t, conn.Close())
		}
		talking := r.live(t)
		_, err := talking.Talk(junk[:2000])
		require.NoError(t, err)
		require.Eventually(t, func() bool { return r.edge.Feed.Count() <= 1 }, 2*time.Second, time.Millisecond,
			"who is gone is noticed")
		e := r.log.Publish("a")
		assert.Equal(t, e.Data, talking.Event(t).Data)
	})
}
