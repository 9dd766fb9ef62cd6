package token_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access/token"
)

const patience = 30 * time.Second

// keyServer is a server of a key set.
type keyServer struct {
	*httptest.Server
	fetches atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

func startKeys(t *testing.T, answer http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		s.fetches.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// keySet answers with keys by their ids.
func keySet(t *testing.T, keys map[string]crypto.PublicKey, more ...string) http.HandlerFunc {
	t.Helper()
	var all []any
	for id, k := range keys {
		jwk, err := jwkset.NewJWKFromKey(k, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id}})
		require.NoError(t, err)
		all = append(all, jwk.Marshal())
	}
	for _, text := range more {
		all = append(all, json.RawMessage(text))
	}
	text, err := json.Marshal(map[string]any{"keys": all})
	require.NoError(t, err)
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }
}

func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

// run runs the verifier of a key server until the test ends.
func (s *keyServer) run(t *testing.T, change ...func(*token.Config)) *token.Verifier {
	t.Helper()
	cfg := token.Config{JWKSURL: s.URL}
	for _, c := range change {
		c(&cfg)
	}
	v := verifier(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { v.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return v
}

// becomes waits until the token is verified with that error; nil for a good one.
func becomes(t *testing.T, v *token.Verifier, text string, want error) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := v.Verify(request(text))
		assert.ErrorIs(c, err, want)
	}, patience, 10*time.Millisecond)
}

func refresh(d time.Duration) func(*token.Config) { return func(c *token.Config) { c.Refresh = d } }

// TestKeysRotate: a token of a new key is never refused for good, one of a key
// that is gone is.
func TestKeysRotate(t *testing.T) {
	old, fresh := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"old": old.Public()}))
	v := s.run(t)
	oldToken := sign(t, jwt.SigningMethodES256, old, good(), "kid", "old")
	freshToken := sign(t, jwt.SigningMethodES256, fresh, good(), "kid", "new")
	becomes(t, v, oldToken, nil)

	s.set(keySet(t, map[string]crypto.PublicKey{"old": old.Public(), "new": fresh.Public()}))
	require.Eventually(t, func() bool {
		_, err := v.Verify(request(freshToken))
		require.True(t, err == nil || err == token.ErrKeys, "%v", err)
		return err == nil
	}, patience, 10*time.Millisecond)
	becomes(t, v, oldToken, nil)

	s.set(keySet(t, map[string]crypto.PublicKey{"new": fresh.Public()}))
	v = s.run(t)
	becomes(t, v, freshToken, nil)
	require.Eventually(t, func() bool {
		_, err := v.Verify(request(oldToken))
		require.Error(t, err)
		return err != token.ErrKeys
	}, patience, 100*time.Millisecond)
}

func TestAKeyThatIsGoneCountsNoLonger(t *testing.T) {
	old, fresh := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"old": old.Public()}))
	v := s.run(t, refresh(50*time.Millisecond))
	text := sign(t, jwt.SigningMethodES256, old, good(), "kid", "old")
	becomes(t, v, text, nil)
	s.set(keySet(t, map[string]crypto.PublicKey{"new": fresh.Public()}))
	require.Eventually(t, func() bool { _, err := v.Verify(request(text)); return err != nil }, patience, 10*time.Millisecond)
}

// TestUnknownKeysAskSeldom: whatever clients invent, the issuer is asked once in a
// few seconds, and all who wait share that.
func TestUnknownKeysAskSeldom(t *testing.T) {
	k := ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"k": k.Public()}))
	v := s.run(t)
	becomes(t, v, sign(t, jwt.SigningMethodES256, k, good(), "kid", "k"), nil)
	before, began := s.fetches.Load(), time.Now()
	var asking sync.WaitGroup
	for i := range 300 {
		text := sign(t, jwt.SigningMethodES256, k, good(), "kid", fmt.Sprint(i))
		asking.Go(func() {
			_, err := v.Verify(request(text))
			assert.Error(t, err)
		})
	}
	asking.Wait()
	most := 1 + int64(time.Since(began)/(5*time.Second))
	assert.LessOrEqual(t, s.fetches.Load()-before, most)
}

// TestKeysCountOnWhileTheirServerIsDown: for the grace, and no longer.
func TestKeysCountOnWhileTheirServerIsDown(t *testing.T) {
	k := ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"k": k.Public()}))
	long := s.run(t, refresh(20*time.Millisecond))
	short := s.run(t, refresh(20*time.Millisecond), func(c *token.Config) { c.Grace = 2 * time.Second })
	text := sign(t, jwt.SigningMethodES256, k, good(), "kid", "k")
	becomes(t, long, text, nil)
	becomes(t, short, text, nil)
	s.set(down)
	becomes(t, short, text, token.ErrKeys)
	_, err := long.Verify(request(text))
	require.NoError(t, err)
	s.set(keySet(t, map[string]crypto.PublicKey{"k": k.Public()}))
	becomes(t, short, text, nil)
}

// TestAnEdgeStartsWithoutKeys: tokens are to come back, until the keys are there.
func TestAnEdgeStartsWithoutKeys(t *testing.T) {
	k := ecKey(t, elliptic.P256())
	s := startKeys(t, down)
	v := s.run(t)
	text := sign(t, jwt.SigningMethodES256, k, good(), "kid", "k")
	becomes(t, v, text, token.ErrKeys)
	s.set(keySet(t, map[string]crypto.PublicKey{"k": k.Public()}))
	becomes(t, v, text, nil)
}

// TestAKeySetThatIsNotOne changes nothing.
func TestAKeySetThatIsNotOne(t *testing.T) {
	k := ecKey(t, elliptic.P256())
	many := map[string]crypto.PublicKey{}
	for i := range 101 {
		many[fmt.Sprint(i)] = k.Public()
	}
	elsewhere := startKeys(t, keySet(t, map[string]crypto.PublicKey{"k": k.Public()}))
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no keys":       keySet(t, nil),
		"too many keys": keySet(t, many),
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":["` + strings.Repeat("x", 1<<20) + `"]}`))
		},
		"redirected to clear text elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://issuer.example/", http.StatusFound)
		},
		"redirected to clear text that answers": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "0.0.0.0", 1), http.StatusFound) // as Linux has it, this machine
		},
		"redirected for ever": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"only a secret":       keySet(t, nil, `{"kty":"oct","kid":"k","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}`),
		"only for encryption": keySet(t, nil, `{"kty":"OKP","crv":"Ed25519","use":"enc","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`),
	} {
		t.Run(name, func(t *testing.T) {
			s := startKeys(t, answer)
			v := s.run(t)
			becomes(t, v, sign(t, jwt.SigningMethodES256, k, good(), "kid", "k"), token.ErrKeys)
			_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), good(), "kid", "k")))
			assert.Error(t, err)
		})
	}
	s := startKeys(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	becomes(t, s.run(t), sign(t, jwt.SigningMethodES256, k, good(), "kid", "k"), nil)
}

// TestOneBadKeyDoesNotTakeTheOthersWithIt, and a token without a key id is tried
// with all.
func TestOneBadKeyDoesNotTakeTheOthersWithIt(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"a": a.Public(), "b": b.Public()},
		`{"kty":"new"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	v := s.run(t)
	becomes(t, v, sign(t, jwt.SigningMethodES256, b, good()), nil)
	becomes(t, v, sign(t, jwt.SigningMethodES256, a, good()), nil)
	_, err := v.Verify(request(sign(t, jwt.SigningMethodES256, b, good(), "kid", "a")))
	assert.ErrorIs(t, err, token.ErrInvalid)
}

// TestATokenOfAKeyThatIsGoneIsRefusedEachTime: not told to come back for ever, also
// where the keys are fetched often.
func TestATokenOfAKeyThatIsGoneIsRefusedEachTime(t *testing.T) {
	old, fresh := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	s := startKeys(t, keySet(t, map[string]crypto.PublicKey{"new": fresh.Public()}))
	for _, v := range []*token.Verifier{s.run(t), s.run(t, refresh(20*time.Millisecond))} {
		becomes(t, v, sign(t, jwt.SigningMethodES256, fresh, good(), "kid", "new"), nil)
		text := sign(t, jwt.SigningMethodES256, old, good(), "kid", "old")
		becomes(t, v, text, token.ErrInvalid)
		for range 10 {
			_, err := v.Verify(request(text))
			require.ErrorIs(t, err, token.ErrInvalid)
		}
	}
}

// TestAKeyIsUsedAsItsSetSays: with the one algorithm that it names.
func TestAKeyIsUsedAsItsSetSays(t *testing.T) {
	k := rsaKey(t, 2048)
	jwk, err := jwkset.NewJWKFromKey(k.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k", ALG: jwkset.AlgRS256}})
	require.NoError(t, err)
	text, err := json.Marshal(jwk.Marshal())
	require.NoError(t, err)
	v := startKeys(t, keySet(t, nil, string(text))).run(t)
	becomes(t, v, sign(t, jwt.SigningMethodRS256, k, good(), "kid", "k"), nil)
	for _, other := range []jwt.SigningMethod{jwt.SigningMethodPS256, jwt.SigningMethodRS512} {
		_, err := v.Verify(request(sign(t, other, k, good(), "kid", "k")))
		assert.ErrorIs(t, err, token.ErrInvalid, other.Alg())
	}
}
