package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access/token"
	"sluice/natsembed/natstest"
)

func TestMain(m *testing.M) { natstest.RunAll(m) }

const secret = "0123456789abcdef0123456789abcdef"

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return k
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return k
}

// good is the claims of a token that is valid in every test.
func good() jwt.MapClaims {
	return jwt.MapClaims{"sub": "alice", "jti": "7", "iss": "https://issuer.example", "aud": []string{"sluice", "x"}, "exp": time.Now().Add(time.Hour).Unix()}
}

func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims, header ...string) string {
	t.Helper()
	made := jwt.NewWithClaims(method, claims)
	for i := 0; i < len(header); i += 2 {
		made.Header[header[i]] = header[i+1]
	}
	text, err := made.SignedString(key)
	require.NoError(t, err)
	return text
}

// with is good with other claims; a nil one is left out.
func with(other map[string]any) jwt.MapClaims {
	claims := good()
	maps.Copy(claims, other)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func request(text string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/stream", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	return r
}

func verifier(t testing.TB, cfg token.Config) *token.Verifier {
	t.Helper()
	v, err := token.New(cfg)
	require.NoError(t, err)
	return v
}

func withSecret(t testing.TB) *token.Verifier {
	t.Helper()
	return verifier(t, token.Config{Secret: secret, Issuer: "https://issuer.example", Audience: "sluice", Leeway: 30 * time.Second})
}

// keyFile is a PEM file of these keys.
func keyFile(t testing.TB, keys ...crypto.PublicKey) string {
	t.Helper()
	var text bytes.Buffer
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k)
		require.NoError(t, err)
		require.NoError(t, pem.Encode(&text, &pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	return write(t, text.Bytes())
}

func write(t testing.TB, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.pem")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

func TestAGoodTokenSaysWhoAsks(t *testing.T) {
	claims := good()
	got, err := withSecret(t).Verify(request(sign(t, jwt.SigningMethodHS512, []byte(secret), claims)))
	require.NoError(t, err)
	assert.Equal(t, "alice", got.Subject)
	assert.Equal(t, "7", got.ID)
	assert.Equal(t, claims["exp"], got.Expires.Unix())
	assert.Equal(t, "https://issuer.example", got.Claims["iss"])
}

func TestATokenMayLackWhatIsNotAskedFor(t *testing.T) {
	v := verifier(t, token.Config{Secret: secret})
	got, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{})))
	require.NoError(t, err)
	assert.Equal(t, token.Token{Claims: map[string]any{}}, *got)
}

func TestWhatMakesATokenInvalid(t *testing.T) {
	v, hour := withSecret(t), time.Now().Add(time.Hour).Unix()
	for name, claims := range map[string]jwt.MapClaims{
		"another issuer":         with(map[string]any{"iss": "https://other.example"}),
		"no issuer":              with(map[string]any{"iss": nil}),
		"another audience":       with(map[string]any{"aud": "x"}),
		"no audience":            with(map[string]any{"aud": nil}),
		"a future nbf":           with(map[string]any{"nbf": hour}),
		"an exp that is text":    with(map[string]any{"exp": "never"}),
		"a sub that is a map":    with(map[string]any{"sub": map[string]any{}}),
		"a jti that is not text": with(map[string]any{"jti": 7}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), claims)))
			assert.ErrorIs(t, err, token.ErrInvalid)
		})
	}
	for name, header := range map[string][2]string{"crit": {"crit", "x"}, "typ": {"typ", "dpop+jwt"}} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), good(), header[0], header[1])))
			assert.ErrorIs(t, err, token.ErrInvalid)
		})
	}
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "application/at+jwt"} {
		_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), good(), "typ", typ)))
		assert.NoError(t, err, typ)
	}
}

// TestATokenExpiresAfterTheLeeway: one that is used within it does not end at once.
func TestATokenExpiresAfterTheLeeway(t *testing.T) {
	v := withSecret(t)
	_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), with(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}))))
	require.ErrorIs(t, err, token.ErrExpired)
	within := time.Now().Add(-5 * time.Second)
	got, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), with(map[string]any{"exp": within.Unix()}))))
	require.NoError(t, err)
	assert.Equal(t, within.Unix()+30, got.Expires.Unix())
}

func TestAlgNoneIsRefused(t *testing.T) {
	for _, v := range []*token.Verifier{withSecret(t), verifier(t, token.Config{PublicKeyFile: keyFile(t, rsaKey(t, 2048).Public())})} {
		text := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good())
		for _, text := range []string{text, strings.TrimSuffix(text, "."), text + "x"} {
			_, err := v.Verify(request(text))
			assert.ErrorIs(t, err, token.ErrInvalid)
		}
	}
}

// TestAPublicKeyIsNoSecret: a token signed by HMAC with the public key's text, in
// any form that an edge may have read, is refused.
func TestAPublicKeyIsNoSecret(t *testing.T) {
	k := rsaKey(t, 2048)
	file := keyFile(t, k.Public())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	v := verifier(t, token.Config{PublicKeyFile: file})
	for _, forged := range [][]byte{text, bytes.TrimSpace(text), block.Bytes, k.N.Bytes()} {
		_, err := v.Verify(request(sign(t, jwt.SigningMethodHS256, forged, good())))
		assert.ErrorIs(t, err, token.ErrInvalid)
	}
	_, err = v.Verify(request(sign(t, jwt.SigningMethodPS256, k, good())))
	assert.NoError(t, err)
}

func TestAKidIsNoPath(t *testing.T) {
	for _, kid := range []string{"../../../dev/null", "/etc/passwd", "' OR 1=1 --", "http://127.0.0.1:1/jwks", strings.Repeat("k", 4000)} {
		_, err := withSecret(t).Verify(request(sign(t, jwt.SigningMethodHS256, []byte(""), good(), "kid", kid)))
		assert.ErrorIs(t, err, token.ErrInvalid)
		_, err = withSecret(t).Verify(request(sign(t, jwt.SigningMethodHS256, []byte(secret), good(), "kid", kid)))
		assert.NoError(t, err, "the one key is the one key")
	}
}

// TestAMegabyteOfDots is refused before anything is made of it (CVE-2025-30204).
func TestAMegabyteOfDots(t *testing.T) {
	v, r := withSecret(t), request(strings.Repeat(".", 1<<20))
	_, err := v.Verify(r)
	require.ErrorIs(t, err, token.ErrInvalid)
	result := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = v.Verify(r)
		}
	})
	assert.Less(t, result.AllocedBytesPerOp(), int64(4<<10))
	long := sign(t, jwt.SigningMethodHS256, []byte(secret), with(map[string]any{"x": strings.Repeat("x", token.MaxBytes)}))
	_, err = v.Verify(request(long))
	assert.ErrorIs(t, err, token.ErrInvalid)
}

func TestEveryKindOfPublicKey(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r, p256, p384 := rsaKey(t, 2048), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	v := verifier(t, token.Config{PublicKeyFile: keyFile(t, r.Public(), p256.Public(), p384.Public(), edwards.Public())})
	for method, key := range map[jwt.SigningMethod]any{
		jwt.SigningMethodRS256: r, jwt.SigningMethodPS512: r, jwt.SigningMethodES256: p256, jwt.SigningMethodES384: p384, jwt.SigningMethodEdDSA: edwards,
	} {
		_, err := v.Verify(request(sign(t, method, key, good())))
		assert.NoError(t, err, method.Alg())
	}
	_, err = v.Verify(request(sign(t, jwt.SigningMethodES256, ecKey(t, elliptic.P256()), good())))
	assert.ErrorIs(t, err, token.ErrInvalid, "another's key")
}

func TestWhatIsNoKeyIsAnErrorAtTheStart(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(ecKey(t, elliptic.P256()))
	require.NoError(t, err)
	for says, cfg := range map[string]token.Config{
		"31 bytes, at least 32": {Secret: secret[1:]},
		"no such file":          {PublicKeyFile: filepath.Join(t.TempDir(), "none")},
		"no public key":         {PublicKeyFile: write(t, []byte("hello"))},
		"private key":           {PublicKeyFile: write(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))},
		"1024 bits":             {PublicKeyFile: keyFile(t, rsaKey(t, 1024).Public())},
		"P-224":                 {PublicKeyFile: keyFile(t, ecKey(t, elliptic.P224()).Public())},
		"by https":              {JWKSURL: "http://issuer.example/jwks.json"},
		"no URL":                {JWKSURL: "issuer"},
	} {
		_, err := token.New(cfg)
		require.Error(t, err, says)
		assert.Contains(t, err.Error(), says)
	}
}

func TestWhereATokenIsLookedFor(t *testing.T) {
	valid := sign(t, jwt.SigningMethodHS256, []byte(secret), good())
	v := verifier(t, token.Config{Secret: secret, Cookie: "sluice", Query: true})
	plain := verifier(t, token.Config{Secret: secret})
	for _, tt := range []struct {
		name, query, cookie string
		auth                []string
		want, plain         error
	}{
		{name: "nowhere", want: token.ErrMissing, plain: token.ErrMissing},
		{name: "header", auth: []string{"Bearer " + valid}},
		{name: "lower case and spaces", auth: []string{"bearer   " + valid + " "}},
		{name: "cookie", cookie: valid, plain: token.ErrMissing},
		{name: "query", query: "x=1&access_token=" + valid + "&%zz", plain: token.ErrMissing},
		{name: "another scheme", auth: []string{"Basic YTpi"}, cookie: valid, plain: token.ErrMissing},
		{name: "a bad header before a good cookie", auth: []string{"Bearer x"}, cookie: valid, query: "access_token=" + valid, want: token.ErrInvalid, plain: token.ErrInvalid},
		{name: "an empty header before a good cookie", auth: []string{"Bearer"}, cookie: valid, want: token.ErrInvalid, plain: token.ErrInvalid},
		{name: "a bad cookie before a good query", cookie: "x", query: "access_token=" + valid, want: token.ErrInvalid, plain: token.ErrMissing},
		{name: "a broken query", query: "access_token=%zz", want: token.ErrInvalid, plain: token.ErrMissing},
		{name: "an empty query", query: "access_token=", want: token.ErrInvalid, plain: token.ErrMissing},
		{name: "two headers", auth: []string{"Bearer " + valid, "Bearer " + valid}, want: token.ErrInvalid, plain: token.ErrInvalid},
		{name: "two in one header", auth: []string{"Bearer " + valid + ", Bearer " + valid}, want: token.ErrInvalid, plain: token.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/stream", nil)
			r.URL.RawQuery = tt.query
			r.Header["Authorization"] = tt.auth
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: "sluice", Value: tt.cookie})
			}
			_, err := v.Verify(r)
			assert.ErrorIs(t, err, tt.want)
			_, err = plain.Verify(r)
			assert.ErrorIs(t, err, tt.plain)
		})
	}
}

func TestASignedTokenIsGood(t *testing.T) {
	text, err := token.Sign(secret, token.Order{
		Subject: "alice", Issuer: "https://issuer.example", Audience: "sluice", For: time.Hour, Claim: "sluice",
		Grant: map[string]any{"subscribe": []string{"orders.{sub}.>"}},
	})
	require.NoError(t, err)
	got, err := withSecret(t).Verify(request(text))
	require.NoError(t, err)
	assert.Equal(t, "alice", got.Subject)
	assert.NotEmpty(t, got.ID)
	assert.WithinDuration(t, time.Now().Add(time.Hour), got.Expires, time.Minute)
	assert.Equal(t, map[string]any{"subscribe": []any{"orders.{sub}.>"}}, got.Claims["sluice"])
	_, err = token.Sign("short", token.Order{})
	assert.Error(t, err)
}

// FuzzVerify: no text is taken for a token that the secret did not sign, and no
// error repeats it.
func FuzzVerify(f *testing.F) {
	valid := sign(f, jwt.SigningMethodHS256, []byte(secret), good())
	f.Add(valid)
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good()))
	f.Add(strings.Repeat(".", 100))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":1}`)) + "..")
	v := verifier(f, token.Config{Secret: secret, Query: true})
	f.Fuzz(func(t *testing.T, text string) {
		r := request("")
		r.Header["Authorization"] = []string{"Bearer " + text}
		_, err := v.Verify(r)
		if err == nil {
			parts := strings.Split(strings.Trim(text, " "), ".")
			require.Len(t, parts, 3)
			signature, decodeErr := base64.RawURLEncoding.DecodeString(parts[2])
			require.NoError(t, decodeErr)
			require.NoError(t, jwt.SigningMethodHS256.Verify(parts[0]+"."+parts[1], signature, []byte(secret)))
			return
		}
		if len(text) > 20 {
			assert.NotContains(t, err.Error(), text[:20])
		}
	})
}
