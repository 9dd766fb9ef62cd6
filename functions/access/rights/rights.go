// Package rights is what a token allows: the topics that it may subscribe to and
// publish to.
//
// They are a claim of the token, an object such as
//
//	{"subscribe":["orders.{sub}.>"],"deny":["orders.*.internal"],"publish":["orders.{sub}.>"]}
//
// with topic filters as in ?topic=. A token {claim} stands for the value of that
// claim of the same token, which must be exactly one token of a topic: so no dot
// and no wildcard in a claim widens what is allowed. What is denied counts for
// subscribing and publishing, and before all that is allowed. A token without the
// claim, or with an empty object, may do nothing. What is not understood is an
// error and never less or more than was meant.
//
// All of it is pure, and nothing blocks.
package rights

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sluice/functions/topics"
	"sluice/publisher/event"
)

// Bounds of a grant.
const (
	// MaxFilters is how many filters each list of a grant may have.
	MaxFilters = topics.MaxFilters
	// MaxFilterBytes is how long the filters of a list may be together.
	MaxFilterBytes = topics.MaxFilterBytes
)

// ErrGrant is wrapped by what is wrong with a token's grant. The text is for the
// client.
var ErrGrant = errors.New("the token's grant cannot be used")

// Forbidden is the error of a topic that a token does not allow.
type Forbidden struct {
	// Filter is the topic filter that was asked for; "" when none was and nothing
	// is allowed of what is served.
	Filter string
}

func (f *Forbidden) Error() string {
	if f.Filter == "" {
		return "the token allows no topic that is served here"
	}
	return fmt.Sprintf("the token does not allow the topic %s", f.Filter)
}

// Rights are what one token allows. They are immutable.
type Rights struct {
	all                      bool
	subscribe, deny, publish []string
}

// All is the right to everything.
func All() *Rights { return &Rights{all: true} }

// New reads the grant in that claim of a token. Errors wrap ErrGrant.
func New(claims map[string]any, claim string) (*Rights, error) {
	value, ok := claims[claim]
	if !ok {
		return &Rights{}, nil
	}
	grant, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not an object", ErrGrant, claim)
	}
	r := &Rights{}
	lists := map[string]*[]string{"subscribe": &r.subscribe, "deny": &r.deny, "publish": &r.publish}
	for name, value := range grant {
		list, ok := lists[name]
		if !ok {
			return nil, fmt.Errorf("%w: %s has a member that is not subscribe, deny or publish", ErrGrant, claim)
		}
		var err error
		if *list, err = filters(value, claims); err != nil {
			return nil, fmt.Errorf("%w: %s of %s: %w", ErrGrant, name, claim, err)
		}
	}
	return r, nil
}

// filters is a list of a grant with its templates filled in.
func filters(value any, claims map[string]any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("not a list of topics")
	}
	if len(list) > MaxFilters {
		return nil, fmt.Errorf("%d topics, at most %d are allowed", len(list), MaxFilters)
	}
	all, bytes := make([]string, 0, len(list)), 0
	for _, entry := range list {
		template, ok := entry.(string)
		if !ok {
			return nil, errors.New("a topic that is not a string")
		}
		filter, err := fill(template, claims)
		if err != nil {
			return nil, err
		}
		if err := event.CheckFilter(filter); err != nil {
			return nil, err
		}
		if bytes += len(filter); bytes > MaxFilterBytes {
			return nil, fmt.Errorf("topics of more than %d bytes", MaxFilterBytes)
		}
		all = append(all, filter)
	}
	return all, nil
}

// fill puts the claims' values in the places of {claim}.
func fill(template string, claims map[string]any) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	if len(template) > MaxFilterBytes { // before it is cut into pieces
		return "", fmt.Errorf("topics of more than %d bytes", MaxFilterBytes)
	}
	tokens := strings.Split(template, ".")
	for i, token := range tokens {
		name, ok := strings.CutPrefix(token, "{")
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, "}"); !ok {
			return "", fmt.Errorf("%q: a claim such as {sub} is a whole token of a topic", token)
		}
		value, ok := text(claims[name])
		if !ok {
			return "", fmt.Errorf("the token has no claim %q that is a string or a whole number", name)
		}
		if strings.Contains(value, ".") || event.CheckTopic(value) != nil {
			return "", fmt.Errorf("the value of the claim %q is not one token of a topic: 1 to 64 of A-Z a-z 0-9 _ -", name)
		}
		tokens[i] = value
	}
	return strings.Join(tokens, "."), nil
}

// text is a claim's value, as a token of a topic would be written.
func text(value any) (string, bool) {
	const exact = 1 << 53 // to which whole numbers of JSON are told apart
	switch v := value.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), v == math.Trunc(v) && math.Abs(v) < exact
	}
	return "", false
}

// Subscribe is what may be read of what is asked for. With named, each filter
// that is asked for must lie inside one that is allowed, and not inside a denied
// one. Without, asked is all that is served, and what is allowed of it counts. The
// topics that are denied are left out of the set in both cases. The error is a
// *Forbidden, or wraps ErrGrant.
func (r *Rights) Subscribe(asked *topics.Set, named bool) (*topics.Set, error) {
	if r.all {
		return asked, nil
	}
	if !named {
		return r.ofServed(asked)
	}
	for _, f := range asked.Filters() {
		covers := func(w string) bool { return event.Covers(w, f) }
		if !slices.ContainsFunc(r.subscribe, covers) || slices.ContainsFunc(r.deny, covers) {
			return nil, &Forbidden{Filter: f}
		}
	}
	set, some := asked.Without(r.deny...)
	if !some {
		return nil, &Forbidden{Filter: asked.Filters()[0]}
	}
	return set, nil
}

// ofServed is what is allowed of all that is served.
func (r *Rights) ofServed(served *topics.Set) (*topics.Set, error) {
	if len(r.subscribe) == 0 {
		return nil, &Forbidden{}
	}
	allowed, err := topics.New(r.subscribe...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGrant, err)
	}
	set, some, err := allowed.Intersect(served)
	if err != nil {
		return nil, fmt.Errorf("%w: of what is served here: %w", ErrGrant, err)
	}
	if some {
		set, some = set.Without(r.deny...)
	}
	if !some {
		return nil, &Forbidden{}
	}
	return set, nil
}

// Publish reports whether an event of the topic may be published.
func (r *Rights) Publish(topic string) bool {
	matches := func(f string) bool { return event.Matches(f, topic) }
	return r.all || slices.ContainsFunc(r.publish, matches) && !slices.ContainsFunc(r.deny, matches)
}
