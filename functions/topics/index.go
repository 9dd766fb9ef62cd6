package topics

import (
	"slices"
	"strings"
)

// most is how many filters one node of an Index compares one by one; with more
// it tells them apart by their next token, which it finds in a map when there
// are more than so many again.
const most = 4

// Index finds the values whose filters match a topic, in a time that hardly
// grows with their number. A filter that shares no beginning with others is kept
// whole, so one costs about as much memory as its text. The zero value is empty.
// It is not safe for changes by several at once.
type Index[T comparable] struct{ root node[T] }

// entry is what follows a node's beginning in a filter; "" when nothing does.
type entry[T comparable] struct {
	value T
	rest  string
}

// deeper reports whether a node below this one may hold the entry.
func (e *entry[T]) deeper() bool { return e.rest != "" && e.rest != ">" }

// node is the filters with the same first tokens.
type node[T comparable] struct {
	here  []entry[T]          // all of them, or those that are not deeper
	few   []branch[T]         // the others, by their next token
	next  map[string]*node[T] // instead of few, when they are many
	star  *node[T]            // those whose next token is *
	split bool
}

// branch is a node below another one.
type branch[T comparable] struct {
	token string
	node  *node[T]
}

// Add adds a filter, which CheckFilter accepts, with its value.
func (x *Index[T]) Add(filter string, value T) { x.root.add(entry[T]{value, filter}) }

// Remove takes a filter with its value out again.
func (x *Index[T]) Remove(filter string, value T) { x.root.remove(entry[T]{value, filter}) }

// Each calls do with the value of each filter that matches the topic, until
// that returns true; it reports whether that was so.
func (x *Index[T]) Each(topic string, do func(T) (enough bool)) bool { return x.root.each(topic, do) }

func (n *node[T]) add(e entry[T]) {
	if n.split && e.deeper() {
		n.push(e)
		return
	}
	n.here = append(n.here, e)
	deeper := 0
	for i := range n.here {
		if n.here[i].deeper() {
			deeper++
		}
	}
	if deeper <= most {
		return
	}
	all := n.here
	n.here, n.split = nil, true
	for _, e := range all {
		if e.deeper() {
			n.push(e)
		} else {
			n.here = append(n.here, e)
		}
	}
}

// push adds an entry to the node for its next token.
func (n *node[T]) push(e entry[T]) {
	token, rest, _ := strings.Cut(e.rest, ".")
	below := n.below(token)
	if below == nil {
		below = &node[T]{}
		n.grow(strings.Clone(token), below) // not the whole filter, which may go before the node
	}
	below.add(entry[T]{e.value, rest})
}

func (n *node[T]) grow(token string, below *node[T]) {
	switch {
	case token == "*":
		n.star = below
	case n.next != nil:
		n.next[token] = below
	case len(n.few) < most:
		n.few = append(n.few, branch[T]{token, below})
	default:
		n.next = map[string]*node[T]{token: below}
		for _, b := range n.few {
			n.next[b.token] = b.node
		}
		n.few = nil
	}
}

func (n *node[T]) prune(token string) {
	switch {
	case token == "*":
		n.star = nil
	case n.next != nil:
		if delete(n.next, token); len(n.next) == 0 {
			n.next = nil // a map does not get smaller
		}
	default:
		n.few = slices.DeleteFunc(n.few, func(b branch[T]) bool { return b.token == token })
		if len(n.few) == 0 {
			n.few = nil
		}
	}
	n.split = n.star != nil || n.next != nil || n.few != nil
}

// below is the node for a next token of a filter; nil when there is none.
func (n *node[T]) below(token string) *node[T] {
	if token == "*" {
		return n.star
	}
	return n.literal(token)
}

func (n *node[T]) literal(token string) *node[T] {
	for i := range n.few {
		if n.few[i].token == token {
			return n.few[i].node
		}
	}
	return n.next[token]
}

func (n *node[T]) remove(e entry[T]) {
	if !n.split || !e.deeper() {
		n.here = without(n.here, e)
		return
	}
	token, rest, _ := strings.Cut(e.rest, ".")
	below := n.below(token)
	if below == nil {
		return
	}
	below.remove(entry[T]{e.value, rest})
	if len(below.here) > 0 || below.split {
		return
	}
	n.prune(token)
}

// without is the list without one entry, in another order; nil when it is empty.
func without[T comparable](list []entry[T], e entry[T]) []entry[T] {
	for i := range list {
		if list[i] == e {
			last := len(list) - 1
			list[i] = list[last]
			list[last] = entry[T]{}
			if list = list[:last]; last == 0 {
				return nil
			}
			break
		}
	}
	return list
}

// each is Each for what follows the node's beginning in the topic; "" when
// nothing does.
func (n *node[T]) each(topic string, do func(T) bool) bool {
	for i := range n.here {
		e := &n.here[i]
		if (e.rest == "") == (topic == "") && (topic == "" || matches(e.rest, topic)) && do(e.value) {
			return true
		}
	}
	if !n.split || topic == "" {
		return false
	}
	token, rest, _ := strings.Cut(topic, ".")
	if below := n.literal(token); below != nil && below.each(rest, do) {
		return true
	}
	return n.star != nil && n.star.each(rest, do)
}

// matches is event.Matches for what is known to keep to the grammar, several
// times faster. filter is not empty.
func matches(filter, topic string) bool {
	at := 0
	for i := 0; i < len(filter); i++ {
		if at == len(topic) {
			return false
		}
		switch c := filter[i]; c {
		case '>':
			return true
		case '*':
			for at < len(topic) && topic[at] != '.' {
				at++
			}
		case topic[at]:
			at++
		default:
			return false
		}
	}
	return at == len(topic)
}
