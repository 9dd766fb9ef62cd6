// Package token says who asks: it finds the JSON Web Token (RFC 7519) of a request
// and verifies it, as RFC 8725 wants it: the algorithms are those of the key and
// never the token's choice, and what is not understood is refused.
//
// The keys are a secret, a file of public keys, or a JSON Web Key Set (RFC 7517)
// at a URL. Only the last lets Verify wait: for keys that have not come yet, and
// for one that is not known, fetched once for all who wait. Verifier.Run fetches
// them again and again, and ends with its context.
//
// No error, log record or metric holds anything of a token.
package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// MaxBytes is the longest token that is looked at, in bytes.
const MaxBytes = 8 << 10

// maxSubjectBytes is the longest subject: it is kept for as long as a stream is
// open, and logged at its end. OpenID Connect Core, 2, has 255.
const maxSubjectBytes = 255

// What Verify refuses. The texts of the errors that wrap them are for the client.
var (
	ErrMissing = errors.New("a token is wanted: send Authorization: Bearer and the token")
	ErrInvalid = errors.New("the token is not valid here")
	ErrExpired = errors.New("the token has expired; get a new one")
	// ErrKeys passes: the keys cannot be had now, or the token's key is not known
	// yet.
	ErrKeys = errors.New("the keys to check the token with cannot be had now")
)

// Config is what a Verifier needs: one of Secret, PublicKeyFile and JWKSURL. Zero
// times take defaults, other zero fields turn what they say off.
type Config struct {
	Secret        string // of HMAC; at least MinSecretBytes
	PublicKeyFile string // PEM: public keys or certificates
	JWKSURL       string // https, or http to this machine
	Issuer        string // the claim iss must be it
	Audience      string // the claim aud must be it, or have it
	Leeway        time.Duration
	Cookie        string        // name of a cookie with the token
	Query         bool          // ?access_token= counts (RFC 6750, 2.3)
	Refresh       time.Duration // between two fetches of JWKSURL
	Grace         time.Duration // for which keys count while JWKSURL cannot be fetched
	Logger        *slog.Logger
	Registry      prometheus.Registerer
}

// Token is a verified token.
type Token struct {
	Subject string    // claim sub
	ID      string    // claim jti
	Expires time.Time // claim exp, or with it over the end of the leeway; zero for never
	Claims  map[string]any
	Cookie  bool // it came in the cookie, which a browser sends unasked
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	keys   source
	parser *jwt.Parser
}

// source is where keys come from.
type source interface {
	// find gives the keys that a token with that key id may be signed with; kid is
	// "" when the token has none. Errors wrap ErrKeys or ErrInvalid.
	find(ctx context.Context, kid string) ([]key, error)
	run(ctx context.Context)
}

// New checks cfg and makes a Verifier of it. It reads PublicKeyFile, and does not
// fetch JWKSURL.
func New(cfg Config) (*Verifier, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Refresh, cfg.Grace = cmp.Or(cfg.Refresh, DefaultRefresh), cmp.Or(cfg.Grace, DefaultGrace)
	v := &Verifier{cfg: cfg}
	var err error
	switch {
	case cfg.Secret != "":
		v.keys, err = secret(cfg.Secret)
	case cfg.PublicKeyFile != "":
		v.keys, err = readKeys(cfg.PublicKeyFile)
	default:
		v.keys, err = newRemote(cfg)
	}
	if err != nil {
		return nil, err
	}
	options := []jwt.ParserOption{jwt.WithValidMethods(allMethods), jwt.WithLeeway(cfg.Leeway), jwt.WithStrictDecoding()}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// Run keeps the keys fresh until ctx ends.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Verify finds the request's token and verifies it. It waits only for keys, and no
// longer than the request's context.
func (v *Verifier) Verify(r *http.Request) (*Token, error) {
	text, cookie, err := v.cfg.find(r)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(text, claims, v.keysOf(r.Context())); err != nil {
		return nil, refusal(err)
	}
	t := &Token{Claims: claims, Cookie: cookie}
	if t.Subject, err = claims.GetSubject(); err != nil {
		return nil, fmt.Errorf("%w: its sub is not a string", ErrInvalid)
	}
	if len(t.Subject) > maxSubjectBytes {
		return nil, fmt.Errorf("%w: its sub is longer than %d bytes", ErrInvalid, maxSubjectBytes)
	}
	if id, ok := claims["jti"]; ok {
		if t.ID, ok = id.(string); !ok {
			return nil, fmt.Errorf("%w: its jti is not a string", ErrInvalid)
		}
	}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		if t.Expires = exp.Time; time.Until(t.Expires) <= 0 {
			t.Expires = t.Expires.Add(v.cfg.Leeway)
		}
	}
	return t, nil
}

// keysOf gives the keys for a token whose header is read and whose claims are not
// believed yet.
func (v *Verifier) keysOf(ctx context.Context) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		if err := checkHeader(t.Header); err != nil {
			return nil, err
		}
		kid, _ := t.Header["kid"].(string)
		found, err := v.keys.find(ctx, kid)
		if err != nil {
			return nil, err
		}
		var fit jwt.VerificationKeySet
		for _, k := range found {
			if k.allows(t.Method.Alg()) {
				fit.Keys = append(fit.Keys, k.material)
			}
		}
		if len(fit.Keys) == 0 {
			return nil, fmt.Errorf("%w: no key for its algorithm", ErrInvalid)
		}
		return fit, nil
	}
}

// checkHeader refuses what the token's header says that is not understood
// (RFC 7515, 4.1.11; RFC 8725, 3.11).
func checkHeader(header map[string]any) error {
	if _, ok := header["crit"]; ok {
		return fmt.Errorf("%w: its header has crit", ErrInvalid)
	}
	if kid, ok := header["kid"]; ok {
		if _, ok := kid.(string); !ok {
			return fmt.Errorf("%w: its kid is not a string", ErrInvalid)
		}
	}
	typ, ok := header["typ"]
	if !ok {
		return nil
	}
	text, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(text), "application/") {
	case "jwt", "at+jwt":
		return nil
	}
	return fmt.Errorf("%w: its typ is not JWT or at+jwt", ErrInvalid)
}

// refusal is what the client is told of an error of the parser, which may repeat
// parts of the token.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrKeys):
		return ErrKeys
	case errors.Is(err, jwt.ErrTokenMalformed):
		return fmt.Errorf("%w: it is not a JSON Web Token", ErrInvalid)
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return fmt.Errorf("%w: its signature is not one of the configured keys'", ErrInvalid)
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return fmt.Errorf("%w: it is not valid yet (nbf)", ErrInvalid)
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return fmt.Errorf("%w: it is from another issuer (iss)", ErrInvalid)
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return fmt.Errorf("%w: it is for another audience (aud)", ErrInvalid)
	}
	return ErrInvalid
}
