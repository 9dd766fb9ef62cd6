package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// signer is a key of an issuer.
type signer struct {
	kid string
	key *ecdsa.PrivateKey
}

func newSigner(t testing.TB, kid string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &signer{kid, key}
}

func (s *signer) sign(t testing.TB, c jwt.MapClaims) string {
	t.Helper()
	made := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	made.Header["kid"] = s.kid
	text, err := made.SignedString(s.key)
	require.NoError(t, err)
	return text
}

// issuer serves a key set that can change; nil is a server that is down.
type issuer struct {
	*httptest.Server
	set atomic.Pointer[jwkset.MemoryJWKSet]
}

func newIssuer(t testing.TB, keys ...*signer) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := i.set.Load()
		if set == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		text, err := set.JSONPublic(r.Context())
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(i.Close)
	i.has(t, keys...)
	return i
}

// has makes these the keys of the set; none is a server that is down.
func (i *issuer) has(t testing.TB, keys ...*signer) {
	t.Helper()
	if len(keys) == 0 {
		i.set.Store(nil)
		return
	}
	set := jwkset.NewMemoryStorage()
	for _, s := range keys {
		k, err := jwkset.NewJWKFromKey(s.key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: s.kid}})
		require.NoError(t, err)
		require.NoError(t, set.KeyWrite(t.Context(), k))
	}
	i.set.Store(set)
}

// answers asks with a token until that status comes.
func (e *edge) answers(text string, status int) {
	e.t.Helper()
	e.Eventually(func() bool {
		return e.Do(http.MethodHead, "/stream", "Authorization", "Bearer "+text).Status == status
	})
}

// TestKeysRotateUnderOpenStreams: two hundred streams see each event once, before,
// while and after the issuer's keys change; a token of the new key is taken, one of
// the old key is refused when that is gone.
func TestKeysRotateUnderOpenStreams(t *testing.T) {
	t.Parallel()
	const clients = 200
	old, fresh := newSigner(t, "old"), newSigner(t, "new")
	issuer := newIssuer(t, old)
	r := newRig(t)
	e := r.edge(t, "AUTH", "jwt", "JWKS_URL", issuer.URL, "JWKS_REFRESH", "1s")
	sub := func(i int) string { return fmt.Sprintf("c%d", i) }
	var all []*streamtest.Client
	for i := range clients {
		c := e.as(old.sign(t, claims(sub(i))), streamtest.Query{})
		c.System(t, "open")
		all = append(all, c)
	}
	step := func(what string) {
		for i := range clients {
			r.log.Publish("orders." + sub(i) + ".new")
		}
		events := r.log.Events[len(r.log.Events)-clients:]
		for i, c := range all {
			require.Equal(t, events[i].Seq, c.Event(t).Seq(), what)
		}
	}
	step("before")
	issuer.has(t, old, fresh)
	step("both keys")
	e.answers(fresh.sign(t, claims("c0")), http.StatusOK)
	renewed := e.as(fresh.sign(t, claims("c0", "jti", "2")), streamtest.Query{LastID: all[0].LastID()})
	assert.EqualValues(t, "complete", renewed.System(t, "open").System().Resumed)
	issuer.has(t, fresh)
	e.answers(old.sign(t, claims("c1")), http.StatusUnauthorized)
	step("the old key is gone")
	issuer.has(t)
	e.answers(fresh.sign(t, claims("c1")), http.StatusOK)
	step("the issuer is down")
	assert.Empty(t, e.Records("a stream ended"))
}

func testAuth(t *testing.T) {
	r := newRig(t)
	r.edge(t, "AUTH", "none").live()
	r.guarded(t).refused("", "", http.StatusUnauthorized, "token_missing")
}

func testJWTSecret(t *testing.T) {
	e := newRig(t).guarded(t)
	e.as(signed(t, claims("alice")), streamtest.Query{}).System(t, "open")
	other, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims("alice")).SignedString([]byte(secret + "x"))
	require.NoError(t, err)
	e.refused(other, "", http.StatusUnauthorized, "token_invalid")
}

func testJWTPublicKeyFile(t *testing.T) {
	s := newSigner(t, "k")
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	e := newRig(t).edge(t, "AUTH", "jwt", "JWT_PUBLIC_KEY_FILE", file)
	e.as(s.sign(t, claims("alice")), streamtest.Query{}).System(t, "open")
	e.refused(signed(t, claims("alice")), "", http.StatusUnauthorized, "token_invalid")
}

func testJWKSURL(t *testing.T) {
	s := newSigner(t, "k")
	e := newRig(t).edge(t, "AUTH", "jwt", "JWKS_URL", newIssuer(t, s).URL)
	e.answers(s.sign(t, claims("alice")), http.StatusOK)
	e.Eventually(func() bool { return strings.Contains(e.metrics(), `sse_jwks_fetches_total{result="ok"} `) })
}

// testJWKSRefresh: with the default it would be minutes.
func testJWKSRefresh(t *testing.T) {
	old, fresh := newSigner(t, "old"), newSigner(t, "new")
	i := newIssuer(t, old)
	e := newRig(t).edge(t, "AUTH", "jwt", "JWKS_URL", i.URL, "JWKS_REFRESH", "1s")
	text := old.sign(t, claims("alice"))
	e.answers(text, http.StatusOK)
	i.has(t, fresh)
	e.answers(text, http.StatusUnauthorized)
}

// testJWKSGrace: with the default it would be a day.
func testJWKSGrace(t *testing.T) {
	s := newSigner(t, "k")
	i := newIssuer(t, s)
	e := newRig(t).edge(t, "AUTH", "jwt", "JWKS_URL", i.URL, "JWKS_REFRESH", "1s", "JWKS_GRACE", "1s")
	text := s.sign(t, claims("alice"))
	e.answers(text, http.StatusOK)
	i.has(t)
	e.answers(text, http.StatusServiceUnavailable)
}

func testJWTIssuer(t *testing.T) {
	e := newRig(t).guarded(t, "JWT_ISSUER", "me")
	e.as(signed(t, claims("alice", "iss", "me")), streamtest.Query{}).System(t, "open")
	e.refused(signed(t, claims("alice", "iss", "you")), "", http.StatusUnauthorized, "token_invalid")
}

func testJWTAudience(t *testing.T) {
	e := newRig(t).guarded(t, "JWT_AUDIENCE", "me")
	e.as(signed(t, claims("alice", "aud", []string{"you", "me"})), streamtest.Query{}).System(t, "open")
	e.refused(signed(t, claims("alice", "aud", "you")), "", http.StatusUnauthorized, "token_invalid")
}

func testJWTLeeway(t *testing.T) {
	r := newRig(t)
	text := signed(t, claims("alice", "exp", time.Now().Add(-time.Minute).Unix()))
	r.guarded(t, "JWT_LEEWAY", "1h").as(text, streamtest.Query{}).System(t, "open")
	r.guarded(t, "JWT_LEEWAY", "1s").refused(text, "", http.StatusUnauthorized, "token_expired")
}

func testJWTClaim(t *testing.T) {
	e := newRig(t).guarded(t, "JWT_CLAIM", "https://a.example/grant")
	e.as(signed(t, claims("alice", "sluice", nil, "https://a.example/grant", own())), streamtest.Query{}).System(t, "open")
	e.refused(signed(t, claims("alice")), "", http.StatusForbidden, "topic_forbidden")
}

func testAuthCookie(t *testing.T) {
	r := newRig(t)
	text := signed(t, claims("alice"))
	with := streamtest.Query{Header: http.Header{"Cookie": {"a=b; session=" + text}}}
	e := r.guarded(t, "AUTH_COOKIE", "session")
	e.open(with).System(t, "open")
	a := r.guarded(t).Do(http.MethodGet, "/stream", "Cookie", "session="+text)
	assert.Equal(t, http.StatusUnauthorized, a.Status)
}

func testAuthQuery(t *testing.T) {
	r := newRig(t)
	text := signed(t, claims("alice"))
	e := r.guarded(t, "AUTH_QUERY", "true", "LOG_LEVEL", "debug")
	c := e.open(streamtest.Query{Params: url.Values{"access_token": {text}}})
	c.System(t, "open")
	c.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) == 1 })
	assert.NotContains(t, e.Stderr(), text[:20], "a token is not logged")
	r.guarded(t).refused("", "?access_token="+text, http.StatusUnauthorized, "token_missing")
}

// ended is the remote of the one stream that an edge has served to a client with
// such headers.
func (e *edge) ended(header http.Header) any {
	e.t.Helper()
	before := len(e.Records("a stream ended"))
	c := e.open(streamtest.Query{Header: header})
	c.System(e.t, "open")
	c.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) > before })
	return e.Records("a stream ended")[before]["remote"]
}

func testTrustedProxies(t *testing.T) {
	r := newRig(t)
	forwarded := http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.9"}}
	assert.Equal(t, "203.0.113.9", r.edge(t, "TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.1").ended(forwarded))
	assert.Contains(t, r.edge(t).ended(forwarded), "127.0.0.1:")
}

func testForwardedHeader(t *testing.T) {
	both := http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Forwarded": {"for=203.0.113.9"}}
	e := newRig(t).edge(t, "TRUSTED_PROXIES", "127.0.0.0/8", "FORWARDED_HEADER", "Forwarded")
	assert.Equal(t, "203.0.113.9", e.ended(both))
}

func testMaxConnectionsPerAddress(t *testing.T) {
	r := newRig(t)
	e := r.edge(t, "MAX_CONNECTIONS_PER_ADDRESS", "2", "TRUSTED_PROXIES", "127.0.0.1")
	from := func(addr string) *streamtest.Client {
		return e.open(streamtest.Query{Header: http.Header{"X-Forwarded-For": {"10.9.9.9, " + addr}}})
	}
	first := from("203.0.113.9")
	first.System(t, "open")
	from("203.0.113.9").System(t, "open")
	assert.EqualValues(t, "too_many_from_address", from("203.0.113.9").System(t, "busy").System().Reason, "an EventSource comes back")
	full := e.Do(http.MethodGet, "/stream", "X-Forwarded-For", "203.0.113.9")
	assert.Equal(t, http.StatusTooManyRequests, full.Status)
	assert.NotEmpty(t, full.Header.Get("Retry-After"))
	from("203.0.113.8").System(t, "open")
	e.live()
	first.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) > 0 })
	from("203.0.113.9").System(t, "open")
	assert.Contains(t, e.metrics(), `sse_requests_refused_total{code="too_many_from_address"} 2`)
}

// testMaxNewPerAddress: ten seconds' worth of them may come at once. Who asks too
// often is not asked for a token any more.
func testMaxNewPerAddress(t *testing.T) {
	e := newRig(t).guarded(t, "MAX_NEW_PER_ADDRESS", "1")
	began, statuses := time.Now(), map[int]int{}
	for statuses[http.StatusTooManyRequests] < 10 {
		statuses[e.Do(http.MethodGet, "/stream", "Authorization", "Bearer x").Status]++
		require.Less(t, time.Since(began), natstest.Patience)
	}
	assert.GreaterOrEqual(t, statuses[http.StatusUnauthorized], 10)
	assert.LessOrEqual(t, statuses[http.StatusUnauthorized], 11+int(time.Since(began)/time.Second))
	assert.Len(t, statuses, 2)
}

func testMaxConnectionsPerSubject(t *testing.T) {
	e := newRig(t).guarded(t, "MAX_CONNECTIONS_PER_SUBJECT", "1")
	first := e.as(signed(t, claims("alice")), streamtest.Query{})
	first.System(t, "open")
	e.refused(signed(t, claims("alice", "jti", "2")), "", http.StatusTooManyRequests, "too_many_for_subject")
	e.as(signed(t, claims("bob")), streamtest.Query{}).System(t, "open")
	first.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) > 0 })
	e.as(signed(t, claims("alice")), streamtest.Query{}).System(t, "open")
}

func testMaxTopicSets(t *testing.T) {
	e := newRig(t).edge(t, "MAX_TOPIC_SETS", "2")
	e.live("a")
	last := e.live("b")
	e.live("a")
	e.refused("", "?topic=c", http.StatusTooManyRequests, "too_many_topic_sets")
	last.Close()
	e.Eventually(func() bool { return len(e.Records("a stream ended")) > 0 })
	e.live("c")
}

// testMaxReplayEvents: who has read so much of the log goes on with what is in
// memory, and is told; what is in memory costs nothing.
func testMaxReplayEvents(t *testing.T) {
	r := newRig(t)
	r.log.PublishN(2000, "a")
	e := r.edge(t, "MAX_REPLAY_EVENTS", "500", "RING_EVENTS", "64")
	read := func() (gap streamtest.Block, before, after int) {
		c := e.open(streamtest.Query{Params: url.Values{"from": {"start"}}})
		defer c.Close()
		c.System(t, "open")
		next := uint64(1)
		for next <= 2000 {
			b := c.Block(t)
			switch {
			case b.Type == "heartbeat":
			case b.Type == "system":
				require.Equal(t, "gap", b.System().Type)
				gap = b
				next = b.Seq() + 1
			default:
				require.Equal(t, next, b.Seq())
				if next++; gap.ID == "" {
					before++
				} else {
					after++
				}
			}
		}
		return gap, before, after
	}
	gap, before, after := read()
	assert.EqualValues(t, "limited", gap.System().Reason)
	assert.Equal(t, r.log.ID(uint64(before)), gap.System().Requested)
	assert.Equal(t, r.log.ID(uint64(2001-after)), gap.System().First)
	assert.GreaterOrEqual(t, before, 500)
	assert.LessOrEqual(t, before, 500+256+1, "a chunk more")
	assert.LessOrEqual(t, after, 64)
	gap, before, _ = read()
	assert.EqualValues(t, "limited", gap.System().Reason)
	assert.Zero(t, before, "nothing is left")
	assert.Contains(t, e.metrics(), `sse_gaps_total{reason="limited"} 2`)
}
