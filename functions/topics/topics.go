// Package topics is sets of topic filters: in one canonical form, so that equal
// sets have equal keys, and as the subject filters of a JetStream consumer. A set
// may leave out what other filters match: topics that its reader may not see.
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
// covered by another; so are the filters of what it leaves out. It is immutable.
type Set struct {
	filters []string
	denied  []string // what is left out; each overlaps with a filter
	key     string
	all     bool                    // the filters are everything
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

func newSet(filters []string) *Set { return canonical(filters, nil) }

// canonical is the set of filters without what is denied. There is at least one
// filter, and none that a denied one covers.
func canonical(filters, denied []string) *Set {
	kept, out := uncovered(filters), uncovered(denied)
	// The key is the set's only copy of its filters: they may be parts of a
	// request, of which nothing else is to be kept.
	key := strings.Join(kept, " ")
	for _, d := range out {
		key += denial + d
	}
	parts := strings.Split(key, denial)
	s := &Set{key: key, filters: strings.Split(parts[0], " "), denied: parts[1:], all: kept[0] == ">"}
	if len(kept) > most {
		s.many = sync.OnceValue(s.index)
	}
	return s
}

// denial stands in a set's key before each filter that it leaves out. Neither of
// its characters is one of a filter.
const denial = " !"

// uncovered is the filters that no other one covers, sorted, each once.
func uncovered(filters []string) (kept []string) {
	for i, f := range filters {
		covered := slices.ContainsFunc(filters[:i], func(w string) bool { return event.Covers(w, f) }) ||
			slices.ContainsFunc(filters[i+1:], func(w string) bool { return w != f && event.Covers(w, f) })
		if !covered {
			kept = append(kept, f)
		}
	}
	slices.Sort(kept)
	return kept
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

// String is the canonical form, filters separated by spaces; before each that is
// left out stands a "!".
func (s *Set) String() string { return s.key }

// Summary is the canonical form, cut after 256 bytes, with the number of filters
// where it is cut.
func (s *Set) Summary() string {
	if len(s.key) <= summaryBytes {
		return s.key
	}
	return fmt.Sprintf("%s… (%d topics)", s.key[:summaryBytes], len(s.filters))
}

// Filters are the set's filters in canonical order, also of topics that are left
// out; they must not be changed.
func (s *Set) Filters() []string { return s.filters }

// Denies reports whether the set leaves the topic out, although its filters may
// match it.
func (s *Set) Denies(topic string) bool {
	return len(s.denied) > 0 && slices.ContainsFunc(s.denied, func(d string) bool { return matches(d, topic) })
}

// Match reports whether an event of the topic belongs to the set.
func (s *Set) Match(topic string) bool {
	if s.Denies(topic) {
		return false
	}
	if s.many != nil {
		return s.many().Each(topic, func(struct{}) bool { return true })
	}
	return s.all || slices.ContainsFunc(s.filters, func(f string) bool { return matches(f, topic) })
}

// Covers reports whether one filter of s covers each filter of u, and s leaves
// nothing of it out. Then every topic of u is one of s.
func (s *Set) Covers(u *Set) bool {
	for _, f := range u.filters {
		if !slices.ContainsFunc(s.filters, func(w string) bool { return event.Covers(w, f) }) {
			return false
		}
	}
	for _, d := range s.denied { // what u leaves out too does not count
		if _, some := u.touched(d); some && !slices.ContainsFunc(u.denied, func(w string) bool { return event.Covers(w, d) }) {
			return false
		}
	}
	return true
}

// touched is a filter of s that overlaps with f.
func (s *Set) touched(f string) (string, bool) {
	i := slices.IndexFunc(s.filters, func(w string) bool { return overlap(w, f) })
	if i < 0 {
		return "", false
	}
	return s.filters[i], true
}

// Without is the set that also leaves out what the filters match; false when
// nothing is left of it. The filters keep to the grammar.
func (s *Set) Without(filters ...string) (*Set, bool) {
	if len(filters) == 0 {
		return s, true
	}
	left := slices.DeleteFunc(slices.Clone(s.filters), func(f string) bool {
		return slices.ContainsFunc(filters, func(d string) bool { return event.Covers(d, f) })
	})
	if len(left) == 0 {
		return nil, false
	}
	// What touches no filter that is left is not denied: it is not there.
	kept := newSet(left)
	denied := slices.DeleteFunc(slices.Concat(s.denied, filters), func(d string) bool {
		_, some := kept.touched(d)
		return !some
	})
	return canonical(left, denied), true
}

// Intersect is the set of what both have; false when that is nothing. The error
// wraps event.ErrTopic: more filters than a set may have.
func (s *Set) Intersect(u *Set) (*Set, bool, error) {
	if u.all && len(u.denied) == 0 {
		return s, true, nil
	}
	var both []string
	for _, a := range s.filters {
		for _, b := range u.filters {
			if f, some := Intersect(a, b); some {
				both = append(both, f)
			}
		}
	}
	if len(both) == 0 {
		return nil, false, nil
	}
	found, err := New(uncovered(both)...)
	if err != nil {
		return nil, false, err
	}
	set, some := found.Without(slices.Concat(s.denied, u.denied)...)
	return set, some, nil
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
