package access

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"sluice/functions/access/limit"
)

// Code is a refusal's word for programs. Every code is a label of a metric, so
// codes are the constants here and never a client's words.
type Code string

// The codes of refused streams.
const (
	BadQuery           Code = "bad_query"
	BadTopic           Code = "bad_topic"
	BadFormat          Code = "bad_format"
	BadSince           Code = "bad_since"
	BadFrom            Code = "bad_from"
	BadLast            Code = "bad_last"
	BadBusy            Code = "bad_busy"
	BadID              Code = "bad_id"
	TopicNotServed     Code = "topic_not_served"
	TokenMissing       Code = "token_missing"
	TokenInvalid       Code = "token_invalid"
	TokenExpired       Code = "token_expired"
	TokenRevoked       Code = "token_revoked"
	GrantInvalid       Code = "grant_invalid"    // the token's grant is not understood
	TopicForbidden     Code = "topic_forbidden"  // the token does not allow it
	KeysUnavailable    Code = "keys_unavailable" // to check tokens with
	TooManyConnections Code = "too_many_connections"
	LowMemory          Code = "low_memory"
	Starting           Code = "starting"        // the log was never read
	LogUnavailable     Code = "log_unavailable" // it was, and cannot be now
	Draining           Code = "draining"
)

// StreamCodes are those of refused streams, which a Gate's metric shows from the start.
var StreamCodes = []Code{
	BadQuery, BadTopic, BadFormat, BadSince, BadFrom, BadLast, BadBusy, BadID, TopicNotServed,
	TokenMissing, TokenInvalid, TokenExpired, TokenRevoked, GrantInvalid, TopicForbidden, KeysUnavailable,
	TooManyConnections, LowMemory, Starting, LogUnavailable, Draining,
	limit.FromAddress, limit.ArrivalRate, limit.ForSubject, limit.TooManyTopics,
}

// The codes of what is not published.
const (
	PublishClosed    Code = "publish_closed"
	CrossSite        Code = "cross_site"
	BadBody          Code = "bad_body"
	BadEvent         Code = "bad_event"
	BadType          Code = "bad_type"
	BadKey           Code = "bad_idempotency_key"
	TooLarge         Code = "too_large"
	UnsupportedType  Code = "unsupported_media_type"
	TooManyEvents    Code = "too_many_events"
	SignatureInvalid Code = "signature_invalid"
)

// PublishCodes are those of refused requests to publish.
var PublishCodes = []Code{
	BadQuery, BadTopic, BadType, BadKey, BadBody, BadEvent, TooLarge, UnsupportedType, PublishClosed, CrossSite,
	TokenMissing, TokenInvalid, TokenExpired, TokenRevoked, GrantInvalid, TopicForbidden, KeysUnavailable, SignatureInvalid,
	TooManyEvents, LogUnavailable, Draining,
}

// Codes of answers that are not a Gate's.
const (
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	BadRequest       Code = "bad_request"
	HeadersTooLarge  Code = "headers_too_large"
	TooManyScrapes   Code = "too_many_scrapes"
	WrongHost        Code = "wrong_host"
)

// Refusal is why a request is not served.
type Refusal struct {
	Status  int // of HTTP
	Code    Code
	Message string        // for people
	Retry   time.Duration // after which it may be tried again; 0 for never
	Cause   error         // for the log only; may be nil

	challenge string // WWW-Authenticate (RFC 9110, 11.6.1)
}

// Refuse is a refusal for good.
func Refuse(status int, code Code, message string) *Refusal {
	return &Refusal{Status: status, Code: code, Message: message}
}

// Later is a refusal with 503 that passes.
func Later(code Code, message string, retry time.Duration) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Code: code, Message: message, Retry: retry}
}

// Write answers with the status and the JSON {"error":code,"message":…}. A Retry
// above 0 becomes Retry-After, in whole seconds, at least 1.
func (r *Refusal) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if r.challenge != "" {
		h.Set("WWW-Authenticate", r.challenge)
	}
	if r.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(r.Retry.Seconds()))))
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(append(r.Body(), '\n'))
}

// Body is the JSON that Write sends, without the line end.
func (r *Refusal) Body() []byte {
	body, err := json.Marshal(struct {
		Error   Code   `json:"error"`
		Message string `json:"message"`
	}{r.Code, r.Message})
	if err != nil {
		panic("access: two strings did not marshal: " + err.Error())
	}
	return body
}
