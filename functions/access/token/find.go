package token

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// QueryParameter is the parameter of a token in the URL (RFC 6750, 2.3).
const QueryParameter = "access_token"

// find is the text of the request's token: of its header Authorization, else of
// the cookie, else of the query. The first one that is there counts, even if it is
// bad. cookie says that it is of the cookie.
func (c *Config) find(r *http.Request) (text string, cookie bool, err error) {
	text, ok, err := bearer(r.Header)
	if err != nil {
		return "", false, err
	}
	if !ok && c.Cookie != "" {
		if cookies := r.CookiesNamed(c.Cookie); len(cookies) > 0 {
			text, ok, cookie = cookies[0].Value, true, true
		}
	}
	if !ok && c.Query {
		text, ok = inQuery(r.URL.RawQuery)
	}
	switch {
	case !ok:
		return "", false, ErrMissing
	case len(text) > MaxBytes:
		return "", false, fmt.Errorf("%w: it is longer than %d bytes", ErrInvalid, MaxBytes)
	}
	return text, cookie, nil
}

// bearer is the token of the header Authorization. Other schemes are a proxy's
// business.
func bearer(h http.Header) (text string, ok bool, err error) {
	for _, value := range h["Authorization"] {
		scheme, rest, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if ok {
			return "", false, fmt.Errorf("%w: there are two", ErrInvalid)
		}
		text, ok = strings.Trim(rest, " "), true
	}
	return text, ok, nil
}

// inQuery reads only its own parameter, so that a broken one beside it hides
// nothing.
func inQuery(raw string) (string, bool) {
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != QueryParameter {
			continue
		}
		if text, err := url.QueryUnescape(value); err == nil {
			return text, true
		}
		return "", true // there, and bad
	}
	return "", false
}
