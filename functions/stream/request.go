package stream

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/functions/stream/feed"
)

// request is a checked GET /stream.
type request struct {
	feed.Request
	everything bool // no topic is named: all that the instance serves
	busyInband bool // say over-limit in-band
}

// MaxLast is the most events that ?last= may ask for; the ring bounds it too.
const MaxLast = 1 << 20

// parse checks the request. Of the starting points only the first one present
// counts, in the order header, last_event_id, since, last: a browser repeats
// the URL when it reconnects.
func parse(r *http.Request) (request, *httpError) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("bad_query", "the query string is malformed")
	}
	q := request{busyInband: query.Get("busy") == "inband"}
	var filters []string
	for _, f := range query["topic"] {
		if f != "" {
			filters = append(filters, f)
		}
	}
	q.everything = len(filters) == 0
	if q.Topics, err = feed.NewTopics(filters...); err != nil {
		return q, badRequest("bad_topic", err.Error())
	}
	switch format := query.Get("format"); format {
	case "":
	case "cloudevents":
		q.Encoding.CloudEvents = true
	default:
		return q, badRequest("bad_format", "format must be cloudevents or absent")
	}
	var bad *httpError
	q.Start, bad = start(r.Header.Get("Last-Event-ID"), query)
	return q, bad
}

func start(lastEventID string, query url.Values) (s feed.Start, bad *httpError) {
	if s.Cursor = lastEventID; s.Cursor == "" {
		s.Cursor = query.Get("last_event_id")
	}
	if s.Cursor != "" {
		return s, nil
	}
	if text := query.Get("since"); text != "" {
		s.Since, bad = since(text, time.Now())
		return s, bad
	}
	if text := query.Get("last"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxLast {
			return s, badRequest("bad_last", fmt.Sprintf("last must be a whole number from 1 to %d", MaxLast))
		}
		s.Last = n
	}
	return s, nil
}

func since(text string, now time.Time) (time.Time, *httpError) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1971 || t.Year() > 9999 {
		return t, badRequest("bad_since", "since must be a time as in RFC 3339 (2026-01-02T15:04:05Z) or a duration such as 10m")
	}
	return t, nil
}
