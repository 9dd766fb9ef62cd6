package publish

import (
	"net/http"

	"sluice/functions/access"
	"sluice/publisher"
)

// Decode is the events of a request with that body, by an author of the subject.
func (h *Handler) Decode(r *http.Request, subject string, body []byte) ([]publisher.Event, *access.Refusal) {
	q, bad := parse(r)
	if bad != nil {
		return nil, bad
	}
	q.author = &access.Author{Subject: subject}
	return h.decode(r, q, body)
}
