package publish

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/functions/access"
	"sluice/functions/access/token"
	"sluice/publisher"
	"sluice/publisher/event"
)

// paramTopic is the one parameter that there is.
const paramTopic = "topic"

// headerKey makes a request one that may be repeated (draft-ietf-httpapi-idempotency-key-header).
const headerKey = "Idempotency-Key"

// headerSpecVersion marks a CloudEvent in binary form (CloudEvents, HTTP Binding
// 1.0.2, 3.1).
const headerSpecVersion = "Ce-Specversion"

// form is what a body is.
type form int

const (
	formJSON  form = iota // one JSON value
	formLines             // one a line
	formCloud             // CloudEvents, one
	formBatch             // CloudEvents, a list
)

// forms are the media types of bodies. curl -d says that its data come from an HTML
// form, and means what is in them.
var forms = map[string]form{
	"": formJSON, "application/json": formJSON, "application/x-www-form-urlencoded": formJSON,
	"application/x-ndjson": formLines, "application/ndjson": formLines, "application/jsonl": formLines,
	event.MediaTypeCloud: formCloud, event.MediaTypeBatch: formBatch,
}

// request is a checked POST /publish, without its body.
type request struct {
	author *access.Author
	form   form
	topic  string // "" where CloudEvents say it
	typ    string // of its events; "" is event.TypeData
	key    string // under which it may be repeated; "" for never
}

// isJSON reports whether a media type is JSON (RFC 6839, 3.1).
func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

func refuse(code access.Code, err error) *access.Refusal {
	return access.Refuse(http.StatusBadRequest, code, err.Error())
}

// parse checks all but the body.
func parse(r *http.Request) (q request, bad *access.Refusal) {
	var known bool
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == "" {
		err = nil // none, or none that can be read
	}
	q.form, known = forms[media]
	known = known || isJSON(media)
	if q.form == formJSON && r.Header.Get(headerSpecVersion) != "" {
		q.form, known = formCloud, true
	}
	if err != nil || !known {
		return q, access.Refuse(http.StatusUnsupportedMediaType, access.UnsupportedType,
			"the body must be application/json, application/x-ndjson, or CloudEvents 1.0 in JSON")
	}
	if q.topic, bad = topic(r.URL.RawQuery); bad != nil {
		return q, bad
	}
	isCloud := q.form == formCloud || q.form == formBatch
	if q.topic == "" && !isCloud {
		return q, access.Refuse(http.StatusBadRequest, access.BadTopic, "name the topic, as in /publish?topic=order.created")
	}
	if q.typ = r.Header.Get(event.HeaderType); q.typ != "" && !isCloud {
		if err := event.CheckType(q.typ); err != nil {
			return q, refuse(access.BadType, err)
		}
	}
	if q.key, err = key(r.Header.Values(headerKey)); err != nil {
		return q, refuse(access.BadKey, err)
	}
	return q, nil
}

// topic is what the query says, which may say nothing else.
func topic(raw string) (string, *access.Refusal) {
	sent, err := url.ParseQuery(raw)
	if err != nil {
		return "", access.Refuse(http.StatusBadRequest, access.BadQuery, "the query string is malformed")
	}
	for name, values := range sent {
		if name == token.QueryParameter {
			continue
		}
		if name != paramTopic || len(values) != 1 {
			return "", access.Refuse(http.StatusBadRequest, access.BadQuery, "the query may have one topic, and nothing else")
		}
		if err := event.CheckTopic(values[0]); err != nil {
			return "", refuse(access.BadTopic, err)
		}
	}
	return sent.Get(paramTopic), nil
}

// key is the Idempotency-Key, with quotes around it or without.
func key(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	text := strings.TrimSpace(values[0])
	if quoted := strings.Trim(text, `"`); len(text) >= 2 && text == `"`+quoted+`"` {
		text = quoted
	}
	if err := publisher.CheckMsgID(text); text == "" || err != nil || len(values) > 1 || strings.ContainsAny(text, `"\`) {
		return "", fmt.Errorf("%s must be one text of 1 to %d bytes, such as a UUID", headerKey, publisher.MaxMsgIDBytes)
	}
	return text, nil
}

// body reads all of it.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, *access.Refusal) {
	takeBody(w, r)
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
	_ = c.SetWriteDeadline(time.Now().Add(bodyTimeout + 2*h.cfg.Timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(h.cfg.MaxBodyBytes)))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, access.Refuse(http.StatusRequestEntityTooLarge, access.TooLarge,
			fmt.Sprintf("the body has more than the %d bytes that MAX_BODY_BYTES allows; lines (application/x-ndjson) may be any number", h.cfg.MaxBodyBytes))
	case err != nil:
		return nil, notWhole()
	}
	return body, nil
}

// notWhole is the refusal of a body that was cut.
func notWhole() *access.Refusal {
	return access.Refuse(http.StatusBadRequest, access.BadBody, "the body has not come whole")
}

// bodyTimeout is how long a body may take.
const bodyTimeout = 30 * time.Second

// takeBody has the connection go on behind a body, which is read here; behind one
// that nobody reads the server ends it.
func takeBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.ProtoMinor > 0 {
		w.Header().Del("Connection")
	}
}
