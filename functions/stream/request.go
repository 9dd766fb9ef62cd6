package stream

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/functions/topics"
)

// request is a checked GET /stream.
type request struct {
	feed.Request
	named  bool       // it names its topics; else they are all that the instance serves
	inband bool       // a refusal that passes is told in-band
	format sse.Format // of all blocks
}

// What ?id= may say: which line of a block has its id.
const (
	idFirst = "first"
	idLast  = "last"
)

// MaxLast is the most events that ?last= may ask for; the ring bounds it too.
const MaxLast = 1 << 20

// minYear and maxYear bound ?since=: event ids and Unix nanoseconds reach no
// further.
const minYear, maxYear = 1971, 9999

// roundFrom is the duration from which on ?since= begins at a whole second: so
// those who send the same one share the look-up of its time.
const roundFrom = time.Minute

// parse checks the request. Of the starting points only the first one present
// counts, also if it is bad, in the order header, last_event_id, since, from, last: a
// browser repeats the URL when it reconnects.
func (h *Handler) parse(r *http.Request) (q request, bad *access.Refusal) {
	params, bad := parseQuery(r.URL.RawQuery)
	if bad != nil {
		return q, bad
	}
	switch busy := params.Get(paramBusy); busy {
	case "":
		q.inband = wantsBlocks(r.Header.Values("Accept"))
	case busyInband, busyStatus:
		q.inband = busy == busyInband
	default:
		return q, badRequest(access.BadBusy, "busy must be "+busyInband+", "+busyStatus+" or absent")
	}
	if q.Topics, bad = h.topics(params.Values[paramTopic]); bad != nil {
		return q, bad
	}
	q.named = len(params.Values[paramTopic]) > 0
	if q.format, bad = h.format(params); bad != nil {
		return q, bad
	}
	q.Wire = q.format
	if q.Start, bad = start(r.Header.Get("Last-Event-ID"), params); bad != nil {
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

// format is the form of the blocks.
func (h *Handler) format(params query) (f sse.Format, bad *access.Refusal) {
	switch format := params.Get(paramFormat); format {
	case "":
		f = h.cfg.Encoder
	case "cloudevents":
		f = sse.CloudEvents{Encoder: h.cfg.Encoder}
	default:
		return nil, badRequest(access.BadFormat, "format must be cloudevents or absent")
	}
	last := h.cfg.IDLast
	switch id := params.Get(paramID); id {
	case "":
	case idFirst, idLast:
		last = id == idLast
	default:
		return nil, badRequest(access.BadID, "id, the place of a block's id line, must be "+idFirst+", "+idLast+" or absent")
	}
	if last {
		f = sse.IDLast{Format: f}
	}
	return f, nil
}

// topics is what is asked for; without a topic all that the instance serves.
func (h *Handler) topics(filters []string) (*topics.Set, *access.Refusal) {
	if len(filters) == 0 {
		return h.cfg.Feed.Topics(), nil
	}
	set, err := topics.New(filters...)
	if err != nil {
		return nil, badRequest(access.BadTopic, err.Error())
	}
	return set, nil
}

func start(lastEventID string, params query) (s feed.Start, bad *access.Refusal) {
	if s.Cursor = cmp.Or(lastEventID, params.newest(paramCursor)); s.Cursor != "" {
		return s, nil
	}
	if text := params.Get(paramSince); text != "" {
		s.Since, bad = since(text, time.Now())
		return s, bad
	}
	if text := params.Get(paramFrom); text != "" {
		if text != "start" {
			return s, badRequest(access.BadFrom, "from must be start or absent")
		}
		s.Oldest = true
		return s, nil
	}
	if text := params.Get(paramLast); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxLast {
			return s, badRequest(access.BadLast, fmt.Sprintf("last must be a whole number from 1 to %d", MaxLast))
		}
		s.Last = n
	}
	return s, nil
}

// since is a time in Unix seconds, before now, or as in RFC 3339. A space is the
// + of a zone that was sent as it is.
func since(text string, now time.Time) (time.Time, *access.Refusal) {
	text = strings.ReplaceAll(text, " ", "+")
	const bits = 40 // far beyond maxYear, and far from an overflow
	seconds, err := strconv.ParseInt(text, 10, bits)
	t := time.Unix(seconds, 0).UTC()
	if err != nil {
		if ago, err := duration(text); err == nil && ago >= 0 {
			if t = now.Add(-ago); ago >= roundFrom {
				t = t.Truncate(time.Second)
			}
			return t, nil
		}
		t, err = time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	}
	if err != nil || t.Year() < minYear || t.Year() > maxYear {
		return t, badRequest(access.BadSince,
			"since must be a time as in RFC 3339 (2026-01-02T15:04:05Z), in Unix seconds, or a duration such as 10m or 7d")
	}
	return t, nil
}

// duration is as in time.ParseDuration, and may begin with whole days.
func duration(text string) (time.Duration, error) {
	const day, bits = 24 * time.Hour, 16
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, bits)
	if err != nil || rest == "" {
		return time.Duration(n) * day, err
	}
	more, err := time.ParseDuration(rest)
	return time.Duration(n)*day + more, err
}

// line is what is kept of the request.
func (q *request) line(r *http.Request, grant *access.Grant) requestLine {
	return requestLine{topics: q.Topics.Summary(), remote: access.Remote(r, grant.Address), onEnd: onEnd(r.Context())}
}
