package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
)

const secret = "canary-secret-0123456789abcdef-0123456789"

// own is the grant of each client: the orders that are its own, but for those
// inside.
func own() map[string]any {
	return map[string]any{"subscribe": []string{"orders.{sub}.>"}, "deny": []string{"orders.*.internal"}}
}

// claims are those of a client's token, with others as name, value, name, value.
func claims(sub string, more ...any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": sub, "jti": "of-" + sub, "exp": time.Now().Add(time.Hour).Unix(), "sluice": own()}
	for i := 0; i+1 < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return c
}

// signed is a token, by HMAC with the secret.
func signed(t testing.TB, c jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
	require.NoError(t, err)
	return text
}

func bearer(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }

// guarded starts an edge that wants tokens.
func (r *rig) guarded(t *testing.T, settings ...string) *edge {
	t.Helper()
	return r.edge(t, append([]string{"AUTH", "jwt", "JWT_SECRET", secret}, settings...)...)
}

// as opens a stream with a token.
func (e *edge) as(text string, q streamtest.Query) *streamtest.Client {
	e.t.Helper()
	q.Header = bearer(text)
	c := e.open(q)
	require.Equal(e.t, http.StatusOK, c.Response.StatusCode)
	return c
}

// refused asks with a token, "" for none, and wants that status and code.
func (e *edge) refused(text, query string, status int, code string) cmdtest.Answer {
	e.t.Helper()
	var headers []string
	if text != "" {
		headers = []string{"Authorization", "Bearer " + text}
	}
	a := e.Do(http.MethodGet, "/stream"+query, headers...)
	require.Equal(e.t, status, a.Status, a.Body)
	var body struct{ Error, Message string }
	require.NoError(e.t, json.Unmarshal([]byte(a.Body), &body))
	require.Equal(e.t, code, body.Error, a.Body)
	return a
}

// gets wants just these events, and then the one that comes for all.
func gets(t *testing.T, c *streamtest.Client, want []streamtest.Stored) {
	t.Helper()
	for _, e := range want {
		b := c.Event(t)
		require.Equal(t, e.Seq, b.Seq())
		require.Equal(t, e.Data, b.Data)
	}
}

var bothWays = map[string]string{"direct": "true", "through net/http": "false"}

// TestTwoTokensSeeTheirOwnOnly: wherever they begin and whatever they ask for.
func TestTwoTokensSeeTheirOwnOnly(t *testing.T) {
	t.Parallel()
	for name, direct := range bothWays {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			e := r.guarded(t, "DIRECT", direct, "RING_EVENTS", "16")
			began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
			publish := func() {
				r.log.PublishN(40, "orders.alice.new", "orders.bob.new", "orders.alice.internal", "orders.bob.internal", "orders.alice.x.y", "metric.cpu")
				r.log.Publish("orders.alice.last", "orders.bob.last")
			}
			subs := []string{"alice", "bob"}
			live := map[string]*streamtest.Client{}
			for _, sub := range subs {
				live[sub] = e.as(signed(t, claims(sub)), streamtest.Query{})
				live[sub].System(t, "open")
			}
			publish()
			own := func(sub string, after uint64) (want []streamtest.Stored) {
				for _, s := range r.log.Match(after, "orders."+sub+".>") {
					if s.Topic != "orders."+sub+".internal" {
						want = append(want, s)
					}
				}
				return want
			}
			for i, sub := range subs {
				text, other := signed(t, claims(sub)), live[subs[1-i]]
				gets(t, live[sub], own(sub, 0))
				for what, q := range map[string]streamtest.Query{
					"from the start":        {Params: url.Values{"from": {"start"}}},
					"since":                 {Params: url.Values{"since": {began}}},
					"the other's cursor":    {LastID: r.log.ID(1)},
					"all of its own, named": {Topics: []string{"orders." + sub + ".>"}, Params: url.Values{"from": {"start"}}},
					"as CloudEvents":        {Params: url.Values{"from": {"start"}, "id": {"last"}}},
				} {
					c := e.as(text, q)
					c.System(t, "open")
					after := uint64(0)
					if q.LastID != "" {
						after = 1
					}
					gets(t, c, own(sub, after))
					c.Close()
					_ = what
				}
				c := e.as(text, streamtest.Query{Params: url.Values{"last": {"2"}}})
				c.System(t, "open")
				all := own(sub, 0)
				gets(t, c, all[len(all)-2:])
				c.Close()
				c = e.as(text, streamtest.Query{LastID: other.LastID()})
				c.System(t, "open")
				c.Close()
				for _, topic := range []string{">", "*.*.>", "orders.*.new", "orders." + subs[1-i] + ".>", "metric.cpu", "orders." + sub + ".internal"} {
					e.refused(text, "?topic="+topic, http.StatusForbidden, "topic_forbidden")
				}
			}
			// A new token goes on where the old one was.
			at := map[string]string{}
			for _, sub := range subs {
				at[sub] = live[sub].LastID()
				live[sub].Close()
			}
			before := r.log.Last().Seq
			publish()
			for _, sub := range subs {
				c := e.as(signed(t, claims(sub, "jti", "renewed")), streamtest.Query{LastID: at[sub]})
				assert.EqualValues(t, "complete", c.System(t, "open").System().Resumed)
				gets(t, c, own(sub, before))
			}
		})
	}
}

// TestWhatNoTokenGets: each refusal has its word, and a challenge where a token
// may help (RFC 6750, 3).
func TestWhatNoTokenGets(t *testing.T) {
	t.Parallel()
	e := newRig(t).guarded(t, "JWT_LEEWAY", "0s")
	none := e.refused("", "", http.StatusUnauthorized, "token_missing")
	assert.Equal(t, "Bearer", none.Header.Get("WWW-Authenticate"))
	bad := e.refused("canary.token.text", "", http.StatusUnauthorized, "token_invalid")
	assert.Equal(t, `Bearer error="invalid_token"`, bad.Header.Get("WWW-Authenticate"))
	e.refused(signed(t, claims("alice", "exp", time.Now().Add(-time.Minute).Unix())), "", http.StatusUnauthorized, "token_expired")
	e.refused(signed(t, claims("alice", "sluice", nil)), "", http.StatusForbidden, "grant_invalid")
	e.refused(signed(t, claims("a.b")), "", http.StatusForbidden, "grant_invalid")
	e.refused(signed(t, claims("alice", "sluice", map[string]any{})), "", http.StatusForbidden, "topic_forbidden")
	e.refused(strings.Repeat(".", 20<<10), "", http.StatusUnauthorized, "token_invalid")
	// An EventSource is to stop at these, not to come back for ever.
	a := e.Do(http.MethodGet, "/stream", "Accept", "text/event-stream")
	assert.Equal(t, http.StatusUnauthorized, a.Status)
	for _, code := range []string{"token_missing", "token_invalid", "token_expired", "grant_invalid", "topic_forbidden"} {
		assert.NotContains(t, e.metrics(), `sse_requests_refused_total{code="`+code+`"} 0`)
	}
	assert.NotContains(t, e.Stderr()+e.metrics(), "canary")
}

// TestAStreamEndsWithItsToken: at its time, with a block that says so, and the same
// cursor goes on with the next token.
func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for name, direct := range bothWays {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			e := r.guarded(t, "DIRECT", direct)
			exp := time.Now().Add(3 * time.Second)
			c := e.as(signed(t, claims("alice", "exp", exp.Unix())), streamtest.Query{})
			c.System(t, "open")
			first := r.log.Publish("orders.alice.new")
			require.Equal(t, first.Seq, c.Event(t).Seq())
			end := c.System(t, "expired")
			assert.EqualValues(t, "token_expired", end.System().Reason)
			assert.WithinRange(t, time.Now(), exp.Truncate(time.Second), exp.Add(20*time.Second))
			_, err := c.Next()
			require.Error(t, err, "it ends")
			e.Eventually(func() bool { return len(e.Records("a stream ended")) == 1 })
			record := e.Records("a stream ended")[0]
			assert.Equal(t, "token_expired", record["reason"])
			assert.Equal(t, "alice", record["subject"])

			second := r.log.Publish("orders.alice.new")
			c = e.as(signed(t, claims("alice")), streamtest.Query{LastID: end.ID})
			assert.EqualValues(t, "complete", c.System(t, "open").System().Resumed)
			require.Equal(t, second.Seq, c.Event(t).Seq())
		})
	}
}

// TestARevokedSubjectIsCut: within two seconds, also where it takes nothing, and
// then refused; others go on.
func TestARevokedSubjectIsCut(t *testing.T) {
	t.Parallel()
	for name, direct := range bothWays {
		t.Run(name, func(t *testing.T) {
			r := newLargeRig(t)
			e := r.guarded(t, noLimits("DIRECT", direct, "MAX_EVENT_BYTES", "1000000")...)
			alice, bob := signed(t, claims("alice")), signed(t, claims("bob"))
			taking := e.as(alice, streamtest.Query{Topics: []string{"orders.alice.new"}})
			taking.System(t, "open")
			other := e.as(bob, streamtest.Query{})
			other.System(t, "open")
			r.log.Publish("orders.alice.large")
			e.Stick(streamtest.Query{Topics: []string{"orders.alice.large"}, Params: url.Values{"from": {"start"}}, Header: bearer(alice)})

			began := time.Now()
			p := cmdtest.Exec(t, map[string]string{"NATS_URL": r.nats.URL()}, "revoke", "--sub=alice", "--for=1h")
			require.NoError(t, p.Wait(), p.Stderr())
			assert.Equal(t, "the subject alice is revoked for 1h0m0s\n", p.Stdout())
			assert.EqualValues(t, "revoked", taking.System(t, "expired").System().Reason)
			e.Eventually(func() bool { return len(e.Records("a stream ended")) == 2 })
			for _, record := range e.Records("a stream ended") {
				assert.Equal(t, "revoked", record["reason"])
			}
			t.Logf("after %s, with the command's start", time.Since(began))
			e.refused(alice, "", http.StatusUnauthorized, "token_revoked")
			e.refused(signed(t, claims("alice", "jti", "another")), "", http.StatusUnauthorized, "token_revoked")

			r.log.Pad = 0
			require.Equal(t, r.log.Publish("orders.bob.new").Seq, other.Event(t).Seq())
			p = cmdtest.Exec(t, map[string]string{"NATS_URL": r.nats.URL()}, "revoke", "--jti=of-bob")
			require.NoError(t, p.Wait(), p.Stderr())
			assert.EqualValues(t, "revoked", other.System(t, "expired").System().Reason)
			e.as(signed(t, claims("bob", "jti", "new")), streamtest.Query{}).System(t, "open")
		})
	}
}

// TestTheCommandSignsTokens that edges take.
func TestTheCommandSignsTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.guarded(t, "JWT_CLAIM", "grant", "JWT_ISSUER", "me", "JWT_AUDIENCE", "you")
	p := cmdtest.Exec(t, map[string]string{"JWT_SECRET": secret, "JWT_CLAIM": "grant", "JWT_ISSUER": "me", "JWT_AUDIENCE": "you"},
		"token", "--sub=alice", "--subscribe=orders.{sub}.>,metric.cpu", "--deny=orders.*.internal", "--for=1h")
	require.NoError(t, p.Wait(), p.Stderr())
	c := e.as(strings.TrimSpace(p.Stdout()), streamtest.Query{})
	c.System(t, "open")
	r.log.Publish("orders.alice.internal", "metric.load")
	want := r.log.Publish("metric.cpu")
	require.Equal(t, want.Seq, c.Event(t).Seq())
	p = cmdtest.Exec(t, map[string]string{"JWT_SECRET": secret}, "token", "--subscribe=orders.{sub}.>")
	require.Error(t, p.Wait())
	assert.Contains(t, p.Stderr(), "sub")
	assert.Empty(t, p.Stdout())
}

// TestTheStartSaysWhoMayReadWhat: and warns where everybody may.
func TestTheStartSaysWhoMayReadWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	assert.Contains(t, r.guarded(t).Logged("access")["who"], "tokens from Authorization, keys from a secret")
	const open = "whoever reaches this process may read every event: set AUTH=jwt, or let only those reach it who may"
	assert.NotEmpty(t, r.edge(t, "HOST", "0.0.0.0").Records(open))
	assert.Empty(t, r.edge(t, "HOST", "127.0.0.1").Records(open))
	assert.Empty(t, r.guarded(t, "HOST", "0.0.0.0").Records(open))
}
