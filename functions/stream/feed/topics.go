package feed

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/publisher/event"
)

// MaxTopics is how many topic filters one request may name.
const MaxTopics = 32

// ErrTopicOutside is what a topic gives that the feed's filter leaves out.
var ErrTopicOutside = errors.New("this instance does not serve the topic")

// Topics is a set of topic filters in canonical form: sorted, each once, none
// covered by another. It is immutable.
type Topics struct {
	filters []string
	key     string
	all     bool
}

// NewTopics checks the filters and makes a set of them. None is everything.
// Errors wrap event.ErrTopic.
func NewTopics(filters ...string) (*Topics, error) {
	if len(filters) > MaxTopics {
		return nil, fmt.Errorf("%w: %d topics, at most %d are allowed", event.ErrTopic, len(filters), MaxTopics)
	}
	for _, f := range filters {
		if err := event.CheckFilter(f); err != nil {
			return nil, err
		}
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	return newTopics(filters), nil
}

func newTopics(filters []string) *Topics {
	var kept []string
	for i, f := range filters {
		covered := slices.ContainsFunc(filters[:i], func(w string) bool { return event.Covers(w, f) }) ||
			slices.ContainsFunc(filters[i+1:], func(w string) bool { return w != f && event.Covers(w, f) })
		if !covered {
			kept = append(kept, f)
		}
	}
	slices.Sort(kept)
	return &Topics{filters: kept, key: strings.Join(kept, " "), all: kept[0] == ">"}
}

// String is the canonical form, filters separated by spaces.
func (t *Topics) String() string { return t.key }

// Match reports whether an event of the topic belongs to the set.
func (t *Topics) Match(topic string) bool {
	return t.all || slices.ContainsFunc(t.filters, func(f string) bool { return event.Matches(f, topic) })
}

// covers reports whether every topic of u is one of t.
func (t *Topics) covers(u *Topics) bool {
	return t.all || !slices.ContainsFunc(u.filters, func(f string) bool {
		return !slices.ContainsFunc(t.filters, func(w string) bool { return event.Covers(w, f) })
	})
}

// subjects is the set as NATS subject filters for one consumer. JetStream
// refuses filters that overlap (error 10138), so those that do are widened
// until they cover each other: what comes must be matched again.
func (t *Topics) subjects() []string {
	filters := slices.Clone(t.filters)
	for i := 0; i < len(filters); i++ {
		for j := range i {
			if overlap(filters[i], filters[j]) {
				filters[j] = widen(filters[i], filters[j])
				filters = newTopics(slices.Delete(filters, i, i+1)).filters
				i = -1
				break
			}
		}
	}
	for i, f := range filters {
		filters[i] = event.Subject(f)
	}
	return filters
}

// overlap reports whether some topic matches both filters.
func overlap(a, b string) bool {
	for {
		at, aRest, aMore := strings.Cut(a, ".")
		bt, bRest, bMore := strings.Cut(b, ".")
		switch {
		case at == ">" || bt == ">":
			return true
		case at != bt && at != "*" && bt != "*":
			return false
		case !aMore || !bMore:
			return aMore == bMore
		}
		a, b = aRest, bRest
	}
}

// widen is a filter that covers a and b.
func widen(a, b string) string {
	var out []string
	for {
		at, aRest, aMore := strings.Cut(a, ".")
		bt, bRest, bMore := strings.Cut(b, ".")
		switch {
		case at == ">" || bt == ">" || aMore != bMore:
			return strings.Join(append(out, ">"), ".")
		case at == bt:
			out = append(out, at)
		default:
			out = append(out, "*")
		}
		if !aMore {
			return strings.Join(out, ".")
		}
		a, b = aRest, bRest
	}
}
