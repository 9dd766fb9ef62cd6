// Package topics is sets of topic filters: in one canonical form, so that equal
// sets have equal keys, and as the subject filters of a JetStream consumer.
package topics

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"sluice/publisher/event"
)

const (
	// MaxFilters is how many topic filters one request may name.
	MaxFilters = 32
	// MaxFilterBytes is how long they may be together: so much each client may
	// have the process keep for as long as it is there.
	MaxFilterBytes = 2048
	// summaryBytes is about how much of a set a log record tells.
	summaryBytes = 256
)

// Set is a set of topic filters in canonical form: sorted, each once, none
// covered by another. It is immutable.
type Set struct {
	filters []string
	key     string
	all     bool
	many    func() *Index[struct{}] // of more filters than are compared one by one
}

// New checks the filters and makes a set of them. None is everything.
// Errors wrap event.ErrTopic.
func New(filters ...string) (*Set, error) {
	if len(filters) > MaxFilters {
		return nil, fmt.Errorf("%w: %d topics, at most %d are allowed", event.ErrTopic, len(filters), MaxFilters)
	}
	bytes := 0
	for _, f := range filters {
		if err := event.CheckFilter(f); err != nil {
			return nil, err
		}
		bytes += len(f)
	}
	if bytes > MaxFilterBytes {
		return nil, fmt.Errorf("%w: topics of %d bytes, at most %d are allowed", event.ErrTopic, bytes, MaxFilterBytes)
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	return newSet(filters), nil
}

func newSet(filters []string) *Set {
	var kept []string
	for i, f := range filters {
		covered := slices.ContainsFunc(filters[:i], func(w string) bool { return event.Covers(w, f) }) ||
			slices.ContainsFunc(filters[i+1:], func(w string) bool { return w != f && event.Covers(w, f) })
		if !covered {
			kept = append(kept, f)
		}
	}
	slices.Sort(kept)
	// The key is the set's only copy of its filters: they may be parts of a
	// request, of which nothing else is to be kept.
	s := &Set{key: strings.Join(kept, " "), all: kept[0] == ">"}
	s.filters = strings.Split(s.key, " ")
	if len(kept) > most {
		s.many = sync.OnceValue(s.index)
	}
	return s
}

// index is made when the set matches for the first time: a set that only gets
// what its shard delivers needs none.
func (s *Set) index() *Index[struct{}] {
	x := &Index[struct{}]{}
	for _, f := range s.filters {
		x.Add(f, struct{}{})
	}
	return x
}

// String is the canonical form, filters separated by spaces.
func (s *Set) String() string { return s.key }

// Summary is the canonical form, cut after 256 bytes, with the number of filters
// where it is cut.
func (s *Set) Summary() string {
	if len(s.key) <= summaryBytes {
		return s.key
	}
	return fmt.Sprintf("%s… (%d topics)", s.key[:summaryBytes], len(s.filters))
}

// Filters are the set's filters in canonical order; they must not be changed.
func (s *Set) Filters() []string { return s.filters }

// Match reports whether an event of the topic belongs to the set.
func (s *Set) Match(topic string) bool {
	if s.many != nil {
		return s.many().Each(topic, func(struct{}) bool { return true })
	}
	return s.all || slices.ContainsFunc(s.filters, func(f string) bool { return matches(f, topic) })
}

// Covers reports whether every topic of u is one of s.
func (s *Set) Covers(u *Set) bool {
	return s.all || !slices.ContainsFunc(u.filters, func(f string) bool {
		return !slices.ContainsFunc(s.filters, func(w string) bool { return event.Covers(w, f) })
	})
}

// Subjects is the set as NATS subject filters for one consumer. JetStream
// refuses filters that overlap (error 10138), so those that do are widened
// until they cover each other: what comes must be matched again.
func (s *Set) Subjects() []string {
	filters := slices.Clone(s.filters)
	for i := 0; i < len(filters); i++ {
		for j := range i {
			if overlap(filters[i], filters[j]) {
				filters[j] = widen(filters[i], filters[j])
				filters = newSet(slices.Delete(filters, i, i+1)).filters
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
