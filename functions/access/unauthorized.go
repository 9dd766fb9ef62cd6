package access

import (
	"errors"
	"net/http"

	"sluice/functions/access/limit"
	"sluice/functions/access/token"
)

// badToken is the refusal of a token that does not count. Its text is for the
// client, and holds nothing of the token.
func badToken(err error) *Refusal {
	switch {
	case errors.Is(err, token.ErrKeys):
		r := Later(KeysUnavailable, "tokens cannot be checked now; try again later", busyRetry)
		r.Cause = err
		return r
	case errors.Is(err, token.ErrMissing):
		return unauthorized(TokenMissing, err.Error())
	case errors.Is(err, token.ErrExpired):
		return unauthorized(TokenExpired, err.Error())
	}
	return unauthorized(TokenInvalid, err.Error())
}

// unauthorized asks for a token as RFC 6750, 3 says: without an error where none
// was sent.
func unauthorized(code Code, message string) *Refusal {
	r := Refuse(http.StatusUnauthorized, code, message)
	if r.challenge = "Bearer"; code != TokenMissing {
		r.challenge = `Bearer error="invalid_token"`
	}
	return r
}

// overLimit is the refusal of a client that has, or asks for, too much.
func overLimit(err error) *Refusal {
	var over *limit.Exceeded
	if !errors.As(err, &over) {
		panic("access: a limit with an error that is none: " + err.Error())
	}
	r := Refuse(http.StatusTooManyRequests, Code(over.Limit), over.Error())
	r.Retry = over.Retry
	return r
}
