package topics

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/publisher/event"
)

// smallTopics is every topic of up to four tokens over three letters; together
// they tell any two filters of up to three tokens apart.
var smallTopics = func() []string {
	all, last := []string{}, []string{""}
	for range 4 {
		var next []string
		for _, head := range last {
			for _, token := range []string{"a", "b", "c"} {
				next = append(next, strings.TrimPrefix(head+"."+token, "."))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}()

func filterGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 3).Draw(t, "tokens")
		if len(tokens) == 0 || len(tokens) < 3 && rapid.Bool().Draw(t, "rest") {
			tokens = append(tokens, ">")
		}
		return strings.Join(tokens, ".")
	})
}

func matchedBy(topic string, filters []string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return event.Matches(f, topic) })
}

// TestTopicsMatchWhatTheirFiltersDo: canonical form and NATS subjects lose
// nothing, and JetStream accepts the subjects: no two overlap (error 10138).
func TestTopicsMatchWhatTheirFiltersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filters := rapid.SliceOfN(filterGen(), 1, 6).Draw(t, "filters")
		topics, err := New(filters...)
		require.NoError(t, err)
		subjects := topics.Subjects()
		for _, topic := range smallTopics {
			want := matchedBy(topic, filters)
			require.Equal(t, want, topics.Match(topic), topic)
			if want {
				require.True(t, matchedBy(event.Subject(topic), subjects), "%s is not asked for: %v", topic, subjects)
			}
			hits := 0
			for _, s := range subjects {
				if event.Matches(s, event.Subject(topic)) {
					hits++
				}
			}
			require.LessOrEqual(t, hits, 1, "%v overlap on %s", subjects, topic)
		}
		shuffled, err := New(rapid.Permutation(append(filters, filters...)).Draw(t, "shuffled")...)
		require.NoError(t, err)
		require.Equal(t, topics.String(), shuffled.String(), "equal sets share one key")
	})
}

func TestTopicsCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide := newSet(rapid.SliceOfN(filterGen(), 1, 4).Draw(t, "wide"))
		narrow := newSet(rapid.SliceOfN(filterGen(), 1, 2).Draw(t, "narrow"))
		if !wide.Covers(narrow) {
			return
		}
		for _, topic := range smallTopics {
			require.True(t, !narrow.Match(topic) || wide.Match(topic), topic)
		}
	})
}

func TestOverlapIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := filterGen().Draw(t, "a"), filterGen().Draw(t, "b")
		both := slices.ContainsFunc(smallTopics, func(topic string) bool { return event.Matches(a, topic) && event.Matches(b, topic) })
		require.Equal(t, both, overlap(a, b))
		w := widen(a, b)
		require.True(t, event.Covers(w, a) && event.Covers(w, b), w)
	})
}

func TestNew(t *testing.T) {
	many := make([]string, MaxFilters)
	for i := range many {
		many[i] = "t" + strings.Repeat("x", i)
	}
	long := func(first string) string { // half of what is allowed
		const token = 64
		return first + strings.Repeat("x", token-2) + strings.Repeat("."+strings.Repeat("x", token-1), MaxFilterBytes/2/token-1) + "x"
	}
	for _, tt := range []struct {
		name    string
		filters []string
		want    string // "" for an error
	}{
		{"none is everything", nil, ">"},
		{"sorted and once", []string{"b", "a", "b"}, "a b"},
		{"covered ones go", []string{"a.b", "a.*", "a.>", "c"}, "a.> c"},
		{"as many as allowed", many, strings.Join(many, " ")},
		{"one too many", append(many, "u"), ""},
		{"as long as allowed", []string{long("a"), long("b")}, long("a") + " " + long("b")},
		{"one byte too long", []string{long("a"), long("b"), "c"}, ""},
		{"a bad one", []string{"a", "..", "b"}, ""},
		{"an empty one", []string{""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := New(tt.filters...)
			if tt.want == "" {
				assert.ErrorIs(t, err, event.ErrTopic)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got.String())
		})
	}
}

// TestASummaryIsShort: a log record does not hold all that a client has asked for.
func TestASummaryIsShort(t *testing.T) {
	few, err := New("b", "a.*")
	require.NoError(t, err)
	assert.Equal(t, "a.* b", few.Summary())
	var filters []string
	for i := range MaxFilters {
		filters = append(filters, fmt.Sprintf("%s%02d", strings.Repeat("x", 30), i))
	}
	many, err := New(filters...)
	require.NoError(t, err)
	assert.Equal(t, many.String()[:256]+"… (32 topics)", many.Summary())
}

// TestIntersectIsExact: what both filters match, and one filter is enough for it.
func TestIntersectIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := filterGen().Draw(t, "a"), filterGen().Draw(t, "b")
		both, some := Intersect(a, b)
		for _, topic := range smallTopics {
			want := event.Matches(a, topic) && event.Matches(b, topic)
			require.Equal(t, want, some && event.Matches(both, topic), "%s and %s: %s on %s", a, b, both, topic)
		}
		require.Equal(t, overlap(a, b), some)
		if some {
			require.NoError(t, event.CheckFilter(both))
		}
	})
}

// deniedSet is filters without others, and whether anything is left, as a plain
// reference has it.
type deniedSet struct {
	filters, denied []string
	set             *Set
	some            bool
}

func deniedGen() *rapid.Generator[deniedSet] {
	return rapid.Custom(func(t *rapid.T) deniedSet {
		d := deniedSet{
			filters: rapid.SliceOfN(filterGen(), 1, 6).Draw(t, "filters"),
			denied:  rapid.SliceOfN(filterGen(), 0, 4).Draw(t, "denied"),
		}
		d.set, d.some = newSet(d.filters).Without(d.denied...)
		return d
	})
}

func (d *deniedSet) match(topic string) bool {
	return matchedBy(topic, d.filters) && !matchedBy(topic, d.denied)
}

// TestASetLeavesOutWhatIsDenied: exactly that, in whatever order it is said.
func TestASetLeavesOutWhatIsDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := deniedGen().Draw(t, "set")
		for _, topic := range smallTopics {
			require.Equal(t, d.match(topic), d.some && d.set.Match(topic), topic)
			if d.some && matchedBy(topic, d.set.Filters()) {
				require.Equal(t, d.match(topic), !d.set.Denies(topic), topic)
			}
		}
		if !d.some {
			return
		}
		again, _ := newSet(rapid.Permutation(d.filters).Draw(t, "shuffled")).Without(rapid.Permutation(append(d.denied, d.denied...)).Draw(t, "denied anew")...)
		require.Equal(t, d.set.String(), again.String(), "equal sets share one key")
		twice, _ := d.set.Without()
		require.Equal(t, d.set.String(), twice.String())
	})
}

// TestSetsIntersect: with all that either leaves out.
func TestSetsIntersect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := deniedGen().Draw(t, "a"), deniedGen().Draw(t, "b")
		if !a.some || !b.some {
			return
		}
		both, some, err := a.set.Intersect(b.set)
		if err != nil {
			require.ErrorIs(t, err, event.ErrTopic, "36 filters are too many")
			return
		}
		for _, topic := range smallTopics {
			require.Equal(t, a.match(topic) && b.match(topic), some && both.Match(topic), topic)
		}
		if some && a.set.Covers(b.set) {
			for _, topic := range smallTopics {
				require.True(t, !b.match(topic) || a.match(topic), topic)
			}
		}
	})
}

// TestAKeyIsNoOtherSets: what is left out is not what is asked for.
func TestAKeyIsNoOtherSets(t *testing.T) {
	with, _ := newSet([]string{"a.>"}).Without("a.b")
	require.Equal(t, "a.> !a.b", with.String())
	for _, forged := range []string{"a.> !a.b", "!a.b", "a.>\x00a.b", " a", "a "} {
		_, err := New(forged)
		require.ErrorIs(t, err, event.ErrTopic, "%q", forged)
	}
	_, some := with.Without("a.>")
	require.False(t, some)
}
