package token

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Order is what a token that Sign makes is to say.
type Order struct {
	Subject, Issuer, Audience string // "" leaves the claim out
	For                       time.Duration
	Claim                     string         // name of the grant's claim
	Grant                     map[string]any // as package rights reads it
}

// Sign makes a token with HS256, with an id of its own. The error says what is
// wrong with the secret.
func Sign(secretText string, o Order) (string, error) {
	keys, err := secret(secretText)
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims := jwt.MapClaims{
		"iat": jwt.NewNumericDate(now), "exp": jwt.NewNumericDate(now.Add(o.For)), "jti": uuid.NewString(), o.Claim: o.Grant,
	}
	for name, value := range map[string]string{"sub": o.Subject, "iss": o.Issuer, "aud": o.Audience} {
		if value != "" {
			claims[name] = value
		}
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(keys[0].material)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return text, nil
}
