package stream

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"sluice/publisher/event"
)

// httpError is a refusal before the response has begun.
type httpError struct {
	status  int
	code    string // for programs
	message string // for people
	retry   time.Duration
}

func badRequest(code, message string) *httpError {
	return &httpError{status: http.StatusBadRequest, code: code, message: message}
}

// WriteError answers with a status and the JSON {"error":code,"message":…}.
// A retry above 0 becomes Retry-After, in whole seconds, at least 1.
func WriteError(w http.ResponseWriter, status int, code, message string, retry time.Duration) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(retry.Seconds()))))
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(errorBody(code, message), '\n'))
}

func errorBody(code, message string) []byte {
	body, err := json.Marshal(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{code, message})
	if err != nil {
		panic("stream: two strings did not marshal: " + err.Error())
	}
	return body
}

func (e *httpError) write(w http.ResponseWriter) {
	WriteError(w, e.status, e.code, e.message, e.retry)
}

// setHeaders sets what every event stream carries.
func setHeaders(h http.Header, connection string) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	if connection != "" {
		h.Set("Connection", connection)
	}
}

// connectionHeader is Connection through net/http: HTTP/2 forbids it (RFC 9113,
// 8.2.2).
func connectionHeader(r *http.Request) string {
	if r.ProtoMajor == 1 && r.ProtoMinor == 1 {
		return "keep-alive"
	}
	return ""
}

// writeBlock answers 200 with one block and ends: the client comes back by
// itself.
func writeBlock(w http.ResponseWriter, r *http.Request, block []byte) {
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(block)
}

// cursor is the request's own cursor if it parses.
func (q *request) cursor() *event.ID {
	id, err := event.ParseID(q.Start.Cursor)
	if err != nil {
		return nil
	}
	return &id
}

// jitter is a time between d and 2d, so that not all come back at once.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d).Truncate(time.Millisecond)
}
