package access_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/access/limit"
	"sluice/functions/access/token"
)

// from is a request of a client at an address, with headers as name, value.
func from(addr string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/publish", http.NoBody)
	r.RemoteAddr = addr
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// TestWhoMayPublishWithoutTokens is who is on this machine, not behind a proxy on it.
func TestWhoMayPublishWithoutTokens(t *testing.T) {
	closed, open := access.NewGate(access.Config{}), access.NewGate(access.Config{PublishOpen: true})
	for _, tt := range []struct {
		name    string
		r       *http.Request
		allowed bool
	}{
		{"this machine", from("127.0.0.1:1"), true},
		{"this machine by IPv6", from("[::1]:1"), true},
		{"this machine by IPv4 in IPv6", from("[::ffff:127.0.0.1]:1"), true},
		{"another one", from("10.0.0.1:1"), false},
		{"a proxy on this machine", from("127.0.0.1:1", "X-Forwarded-For", "127.0.0.1"), false},
		{"another kind of it", from("127.0.0.1:1", "Forwarded", "for=127.0.0.1"), false},
		{"and another", from("127.0.0.1:1", "Via", "1.1 caddy"), false},
	} {
		_, bad := closed.Author(tt.r)
		assert.Equal(t, tt.allowed, bad == nil, tt.name)
		if bad != nil {
			assert.Equal(t, access.PublishClosed, bad.Code)
			assert.Contains(t, bad.Message, "PUBLISH_OPEN")
		}
		_, bad = open.Author(tt.r)
		assert.Nil(t, bad, tt.name)
	}
}

// TestATokenSaysWhatMayBePublished, while it counts.
func TestATokenSaysWhatMayBePublished(t *testing.T) {
	const secret = "a-secret-of-more-than-thirty-two-bytes"
	tokens, err := token.New(token.Config{Secret: secret})
	require.NoError(t, err)
	g := access.NewGate(access.Config{Tokens: tokens, Claim: "sluice"})
	signed := func(until time.Time, grant map[string]any) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "7", "exp": until.Unix(), "sluice": grant}).SignedString([]byte(secret))
		require.NoError(t, err)
		return "Bearer " + text
	}
	grant := map[string]any{"publish": []string{"orders.{sub}.>"}, "subscribe": []string{">"}, "deny": []string{"orders.*.internal"}}
	a, bad := g.Author(from("10.0.0.1:1", "Authorization", signed(time.Now().Add(time.Hour), grant)))
	require.Nil(t, bad)
	assert.Equal(t, "7", a.Subject)
	assert.Nil(t, a.May("orders.7.new"))
	for _, topic := range []string{"orders.8.new", "orders.7.internal", "metric.a"} {
		bad := a.May(topic)
		require.NotNil(t, bad, topic)
		assert.Equal(t, access.TopicForbidden, bad.Code)
		assert.Equal(t, http.StatusForbidden, bad.Status)
	}
	_, bad = g.Author(from("127.0.0.1:1"))
	require.NotNil(t, bad)
	assert.Equal(t, access.TokenMissing, bad.Code)
	short, bad := g.Author(from("10.0.0.1:1", "Authorization", signed(time.Now().Add(time.Second), grant)))
	require.Nil(t, bad)
	require.Eventually(t, func() bool {
		bad := short.May("orders.7.new")
		return bad != nil && bad.Code == access.TokenExpired
	}, 10*time.Second, 10*time.Millisecond)
	g.Drain()
	_, bad = g.Author(from("127.0.0.1:1"))
	require.NotNil(t, bad)
	assert.Equal(t, access.Draining, bad.Code)
}

// TestTheRateIsTheSubjects, or the address's of who has none.
func TestTheRateIsTheSubjects(t *testing.T) {
	g := access.NewGate(access.Config{PublishOpen: true, Limits: limit.Config{Publishes: 1}})
	bucket := func(addr string) *access.Author {
		a, bad := g.Author(from(addr))
		require.Nil(t, bad)
		return a
	}
	assert.Same(t, bucket("10.0.0.1:1").Rate, bucket("10.0.0.1:2").Rate)
	assert.NotSame(t, bucket("10.0.0.1:1").Rate, bucket("10.0.0.2:1").Rate)
	sender, bad := g.Sender("webhook")
	require.Nil(t, bad)
	assert.NotSame(t, bucket("10.0.0.1:1").Rate, sender.Rate)
	none, bad := access.NewGate(access.Config{PublishOpen: true}).Author(from("10.0.0.1:1"))
	require.Nil(t, bad)
	assert.Nil(t, none.Rate)
}
