package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/elnormous/contenttype"

	"sluice/functions/access"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// What ?busy= may say: how a request is told that it is not served now.
const (
	busyInband = "inband" // 200 and a block
	busyStatus = "status" // a status and JSON
)

// The media types of a refusal that passes. A client that takes both alike gets
// the first, as curl does.
var refusalTypes = []contenttype.MediaType{
	contenttype.NewMediaType("application/json"),
	contenttype.NewMediaType("text/event-stream"),
	contenttype.NewMediaType("text/event-stream;charset=utf-8"),
}

// wantsBlocks reports whether an Accept header (RFC 9110, 12.5.1) prefers an event
// stream to JSON, as that of every EventSource does. One that cannot be read, or
// takes neither, means JSON.
func wantsBlocks(accept []string) bool {
	chosen, _, err := contenttype.GetAcceptableMediaTypeFromHeader(strings.Join(accept, ","), refusalTypes)
	return err == nil && chosen.Subtype == "event-stream"
}

// fail answers a request that could not be subscribed.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, q *request, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		end(r.Context(), End{Reason: "gone"})
	case errors.Is(err, fanout.ErrClosed):
		h.refuse(w, r, q, access.Away())
	case errors.Is(err, feed.ErrNotReady):
		h.refuse(w, r, q, access.NotStarted())
	default:
		h.refuse(w, r, q, access.NoLog(err))
	}
}

// refuse answers what is not served: in-band what an EventSource is to survive,
// else with a status.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q *request, why *access.Refusal) {
	h.gate.Note(why, r)
	defer end(r.Context(), End{Reason: string(why.Code)})
	switch {
	case why.Code == access.Draining:
		writeBlock(w, r, q.format.Away(q.keeps(h.cfg.Feed.Position()), jitter(why.Retry)))
	case why.Retry > 0 && q.inband:
		retry := jitter(max(why.Retry, h.cfg.Encoder.Retry()))
		writeBlock(w, r, q.format.Busy(q.keeps(h.cfg.Feed.Position()), wire.Reason(why.Code), why.Message, retry))
	default:
		why.Retry = jitter(why.Retry)
		why.Write(w)
	}
}

// keeps is the id of the only block that a client gets: the cursor with which it
// is to come back. One that is none of ours goes back as it is, so that the
// client is told of it when it is served. Without a cursor it is the feed's
// position, if there is one; but not where the URL says from where: an id would
// count before that, and nothing of it would ever come.
func (q *request) keeps(position event.ID) string {
	switch start := q.Start; {
	case start.Cursor != "":
		return start.Cursor
	case start == (feed.Start{}) && position != (event.ID{}):
		return position.String()
	}
	return ""
}

// jitter is a time between d and 2d, so that not all come back at once.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d).Truncate(time.Millisecond)
}
