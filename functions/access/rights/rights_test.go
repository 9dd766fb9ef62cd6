package rights_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/access/rights"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// claims are those of a token with that JSON.
func claims(t testing.TB, text string) map[string]any {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &all))
	return all
}

func grant(t testing.TB, text string) *rights.Rights {
	t.Helper()
	r, err := rights.New(claims(t, text), "sluice")
	require.NoError(t, err)
	return r
}

func set(t require.TestingT, filters ...string) *topics.Set {
	s, err := topics.New(filters...)
	require.NoError(t, err)
	return s
}

const alice = `{"sub":"alice","tenant":42,"sluice":{"subscribe":["orders.{sub}.>","metric.*","t.{tenant}"],"deny":["orders.*.internal","metric.secret"],"publish":["orders.{sub}.>"]}}`

func TestWhatIsAskedForLiesInsideWhatIsAllowed(t *testing.T) {
	for _, tt := range []struct {
		name, asked string // asked: filters, separated by spaces; "" for none named
		want        string // the set; with a ! in front the filter that is forbidden
	}{
		{"nothing named", "", "metric.* orders.alice.> t.42 !metric.secret !orders.*.internal"},
		{"all of one's own", "orders.alice.>", "orders.alice.> !orders.*.internal"},
		{"a part of it", "orders.alice.new", "orders.alice.new"},
		{"another's", "orders.bob.>", "!orders.bob.>"},
		{"one's own and another's", "orders.alice.> orders.bob.new", "!orders.bob.new"},
		{"everything", ">", "!>"},
		{"a wildcard over all", "*.*.>", "!*.*.>"},
		{"a wildcard over the subject", "orders.*.new", "!orders.*.new"},
		{"what is denied", "metric.secret", "!metric.secret"},
		{"what is denied inside one's own", "orders.alice.internal", "!orders.alice.internal"},
		{"what covers the denied", "metric.*", "metric.* !metric.secret"},
		{"more than a wildcard", "metric.>", "!metric.>"},
		{"what is denied beside one's own", "metric.secret orders.alice.new", "!metric.secret"},
		{"a number's", "t.42", "t.42"},
		{"what NATS keeps for itself", "$JS.>", "topic"},
		{"an inbox", "_INBOX.>", "!_INBOX.>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, err := topics.New(strings.Fields(tt.asked)...)
			if tt.want == "topic" {
				require.ErrorIs(t, err, event.ErrTopic)
				return
			}
			require.NoError(t, err)
			got, err := grant(t, alice).Subscribe(asked, tt.asked != "")
			if filter, no := strings.CutPrefix(tt.want, "!"); no {
				var forbidden *rights.Forbidden
				require.ErrorAs(t, err, &forbidden)
				assert.Equal(t, filter, forbidden.Filter)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got.String())
		})
	}
}

func TestWhatIsNotNamedIsWhatIsServedAndAllowed(t *testing.T) {
	got, err := grant(t, alice).Subscribe(set(t, "orders.>", "x"), false)
	require.NoError(t, err)
	assert.Equal(t, "orders.alice.> !orders.*.internal", got.String())
	_, err = grant(t, alice).Subscribe(set(t, "x"), false)
	var forbidden *rights.Forbidden
	require.ErrorAs(t, err, &forbidden)
	assert.Empty(t, forbidden.Filter)
}

func TestATokenWithoutAGrantMayDoNothing(t *testing.T) {
	for _, text := range []string{`{"sub":"alice"}`, `{"sluice":{}}`, `{"sluice":{"subscribe":[]}}`, `{"sluice":{"deny":["a"]}}`} {
		r := grant(t, text)
		_, err := r.Subscribe(set(t, ">"), false)
		assert.Error(t, err, text)
		_, err = r.Subscribe(set(t, "a"), true)
		assert.Error(t, err, text)
		assert.False(t, r.Publish("a"), text)
	}
}

func TestPublishing(t *testing.T) {
	r := grant(t, alice)
	assert.True(t, r.Publish("orders.alice.new"))
	assert.False(t, r.Publish("orders.bob.new"))
	assert.False(t, r.Publish("orders.alice.internal"), "what is denied")
	assert.False(t, r.Publish("metric.cpu"))
	assert.True(t, rights.All().Publish("anything"))
}

// TestAClaimIsExactlyOneToken: nothing in it widens a grant.
func TestAClaimIsExactlyOneToken(t *testing.T) {
	for _, value := range []string{`"a.b"`, `">"`, `"*"`, `""`, `"a b"`, `"é"`, `"a\u0000"`, `"{sub}"`, `["a"]`, `null`, `1.5`, `1e300`, `true`, `"` + strings.Repeat("x", 65) + `"`} {
		for _, list := range []string{"subscribe", "deny", "publish"} {
			_, err := rights.New(claims(t, fmt.Sprintf(`{"tenant":%s,"sluice":{%q:["orders.{tenant}.>"]}}`, value, list)), "sluice")
			assert.ErrorIs(t, err, rights.ErrGrant, value)
		}
	}
}

func TestAGrantThatIsNotUnderstoodIsRefused(t *testing.T) {
	many := `"a"` + strings.Repeat(`,"a"`, rights.MaxFilters)
	long := `"` + strings.Repeat("x", 64) + strings.Repeat("."+strings.Repeat("x", 64), 15) + `"`
	for name, grant := range map[string]string{
		"no object":           `"orders.>"`,
		"a list":              `["orders.>"]`,
		"null":                `null`,
		"a misspelt list":     `{"subscibe":["a"]}`,
		"no list":             `{"subscribe":"a"}`,
		"no text":             `{"subscribe":[1]}`,
		"no topic":            `{"subscribe":["a..b"]}`,
		"a NATS subject":      `{"subscribe":["$JS.>"]}`,
		"a space":             `{"subscribe":["a b"]}`,
		"a claim that is not": `{"subscribe":["a.{nobody}"]}`,
		"half a claim":        `{"subscribe":["a.{sub"]}`,
		"a part of a token":   `{"subscribe":["a.{sub}x"]}`,
		"before a claim":      `{"subscribe":["a.x{sub}"]}`,
		"too many":            `{"subscribe":[` + many + `]}`,
		"too long":            `{"subscribe":[` + long + `,` + long + `]}`,
		"a long template":     `{"subscribe":["` + strings.Repeat("{sub}.", 4000) + `a"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rights.New(claims(t, `{"sub":"alice","sluice":`+grant+`}`), "sluice")
			assert.ErrorIs(t, err, rights.ErrGrant)
			assert.Less(t, len(err.Error()), 300, "bounded")
		})
	}
}

// smallTopics is every topic of up to three tokens over two letters.
var smallTopics = func() (all []string) {
	last := []string{""}
	for range 3 {
		var next []string
		for _, head := range last {
			for _, token := range []string{"a", "b"} {
				next = append(next, strings.TrimPrefix(head+"."+token, "."))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}()

func filterGen(tokens ...string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		all := rapid.SliceOfN(rapid.SampledFrom(tokens), 1, 3).Draw(t, "tokens")
		if rapid.Bool().Draw(t, "rest") {
			all = append(all, ">")
		}
		return strings.Join(all, ".")
	})
}

func matchedBy(topic string, filters []string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return event.Matches(f, topic) })
}

// TestNobodySeesMoreThanIsAllowed: by a reference that looks at one topic at a
// time. Who is admitted sees all that was asked for less the denied, and who asks
// for something outside one allowed filter is refused.
func TestNobodySeesMoreThanIsAllowed(t *testing.T) {
	templates, plain := filterGen("a", "b", "*", "{sub}"), filterGen("a", "b", "*")
	rapid.Check(t, func(t *rapid.T) {
		sub := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "sub")
		allowed := rapid.SliceOfN(templates, 0, 4).Draw(t, "allowed")
		denied := rapid.SliceOfN(templates, 0, 3).Draw(t, "denied")
		asked := rapid.SliceOfN(plain, 0, 3).Draw(t, "asked")
		if len(allowed) > 0 && rapid.Bool().Draw(t, "inside") { // else most are refused
			asked = rapid.SliceOfN(rapid.SampledFrom(allowed), 1, 2).Draw(t, "of the allowed")
			for i := range asked {
				asked[i] = strings.ReplaceAll(asked[i], "{sub}", sub)
			}
		}
		text, err := json.Marshal(map[string]any{"sub": sub, "sluice": map[string]any{"subscribe": allowed, "deny": denied, "publish": allowed}})
		require.NoError(t, err)
		var all map[string]any
		require.NoError(t, json.Unmarshal(text, &all))
		r, err := rights.New(all, "sluice")
		require.NoError(t, err)
		for _, list := range [][]string{allowed, denied} {
			for i := range list {
				list[i] = strings.ReplaceAll(list[i], "{sub}", sub)
			}
		}
		got, err := r.Subscribe(set(t, asked...), len(asked) > 0)
		for _, topic := range smallTopics {
			may := matchedBy(topic, allowed) && !matchedBy(topic, denied)
			require.Equal(t, may, r.Publish(topic), topic)
			wants := len(asked) == 0 || matchedBy(topic, asked)
			if err == nil {
				require.Equal(t, may && wants, got.Match(topic), topic)
			} else if len(asked) == 0 {
				require.False(t, may, "refused, and %s is allowed", topic)
			}
		}
		if len(asked) > 0 && err != nil {
			inside := func(f string, list []string) bool {
				return slices.ContainsFunc(list, func(w string) bool { return event.Covers(w, f) })
			}
			require.True(t, slices.ContainsFunc(asked, func(f string) bool { return !inside(f, allowed) || inside(f, denied) }), err.Error())
		}
	})
}

// FuzzNew: any claims give rights or a refusal, and rights only to topics.
func FuzzNew(f *testing.F) {
	f.Add([]byte(alice))
	f.Add([]byte(`{"sluice":{"subscribe":["{a}"]},"a":"{a}"}`))
	f.Add([]byte(`{"sluice":{"deny":[">"],"subscribe":["*.{tenant}"]},"tenant":1e21}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var all map[string]any
		if json.Unmarshal(text, &all) != nil {
			return
		}
		r, err := rights.New(all, "sluice")
		if err != nil {
			require.ErrorIs(t, err, rights.ErrGrant)
			return
		}
		got, err := r.Subscribe(set(t, ">"), false)
		if err == nil {
			for _, filter := range got.Filters() {
				require.NoError(t, event.CheckFilter(filter))
			}
		}
	})
}
