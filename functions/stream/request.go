package stream

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/topics"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// request is a checked GET /stream.
type request struct {
	feed.Request
	busyInband bool // say over-limit in-band
}

// MaxLast is the most events that ?last= may ask for; the ring bounds it too.
const MaxLast = 1 << 20

// minYear and maxYear bound ?since=: event ids and Unix nanoseconds reach no
// further.
const minYear, maxYear = 1971, 9999

// parse checks the request. Of the starting points only the first one present
// counts, in the order header, last_event_id, since, last: a browser repeats
// the URL when it reconnects.
func (h *Handler) parse(r *http.Request) (q request, bad *access.Refusal) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, badRequest(access.BadQuery, "the query string is malformed")
	}
	q.busyInband = query.Get("busy") == "inband"
	if q.Topics, bad = h.topics(query["topic"]); bad != nil {
		return q, bad
	}
	switch format := query.Get("format"); format {
	case "":
		q.Wire = h.cfg.Encoder
	case "cloudevents":
		q.Wire = sse.CloudEvents{Encoder: h.cfg.Encoder}
	default:
		return q, badRequest(access.BadFormat, "format must be cloudevents or absent")
	}
	if q.Start, bad = start(r.Header.Get("Last-Event-ID"), query); bad != nil {
		return q, bad
	}
	if !h.cfg.Feed.Serves(q.Topics) {
		return q, access.Refuse(http.StatusNotFound, access.TopicNotServed,
			"this instance serves only "+h.cfg.Feed.Topics().String())
	}
	return q, nil
}

func badRequest(code access.Code, message string) *access.Refusal {
	return access.Refuse(http.StatusBadRequest, code, message)
}

// topics is what is asked for; without a topic all that the instance serves.
func (h *Handler) topics(asked []string) (*topics.Set, *access.Refusal) {
	var filters []string
	for _, f := range asked {
		if f != "" {
			filters = append(filters, f)
		}
	}
	if len(filters) == 0 {
		return h.cfg.Feed.Topics(), nil
	}
	set, err := topics.New(filters...)
	if err != nil {
		return nil, badRequest(access.BadTopic, err.Error())
	}
	return set, nil
}

func start(lastEventID string, query url.Values) (s feed.Start, bad *access.Refusal) {
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
			return s, badRequest(access.BadLast, fmt.Sprintf("last must be a whole number from 1 to %d", MaxLast))
		}
		s.Last = n
	}
	return s, nil
}

func since(text string, now time.Time) (time.Time, *access.Refusal) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < minYear || t.Year() > maxYear {
		return t, badRequest(access.BadSince, "since must be a time as in RFC 3339 (2026-01-02T15:04:05Z) or a duration such as 10m")
	}
	return t, nil
}

// cursor is the request's own cursor if it parses.
func (q *request) cursor() *event.ID {
	id, err := event.ParseID(q.Start.Cursor)
	if err != nil {
		return nil
	}
	return &id
}

// line is what is kept of the request.
func (q *request) line(r *http.Request) requestLine {
	done, _ := r.Context().Value(onEndKey{}).(func(End))
	return requestLine{topics: q.Topics.String(), remote: r.RemoteAddr, onEnd: done}
}
