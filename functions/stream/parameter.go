package stream

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"sluice/functions/access"
)

// The parameters of GET /stream.
const (
	paramTopic  = "topic"
	paramCursor = "last_event_id"
	paramSince  = "since"
	paramFrom   = "from"
	paramLast   = "last"
	paramFormat = "format"
	paramBusy   = "busy"
	paramID     = "id"
)

// parameters are all that the query may say, each with the names under which
// clients send it too. The cursor's are put there by a library when it reconnects
// (event-source-polyfill and reconnecting-eventsource say lastEventId), beside
// what the page's own URL says.
var parameters = []struct {
	name   string
	also   []string
	values []string // all that it may have, of one that other names resemble
}{
	{name: paramTopic, also: []string{"topic[]"}},
	{name: paramCursor, also: []string{"lastEventId", "last-event-id", "Last-Event-ID"}},
	{name: paramSince},
	{name: paramFrom},
	{name: paramLast},
	{name: paramFormat},
	{name: paramBusy},
	{name: paramID, values: []string{idFirst, idLast}},
}

// Parameters are the names of all that the query may say.
func Parameters() (names []string) {
	for _, p := range parameters {
		names = append(names, p.name)
	}
	return names
}

// strangers resemble a parameter and are none: bust breaks caches.
var strangers = []string{"bust"}

// query is a request's parameters. What is empty is absent, and what is none of
// ours is left out.
type query struct{ url.Values }

// parseQuery refuses what looks like a misspelt parameter: without its filter a
// client would get everything, and without its cursor lose events.
func parseQuery(raw string) (query, *access.Refusal) {
	sent, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, badRequest(access.BadQuery, "the query string is malformed")
	}
	q := query{url.Values{}}
	for _, p := range parameters {
		for _, name := range slices.Concat([]string{p.name}, p.also) {
			for _, value := range sent[name] {
				if value != "" {
					q.Add(p.name, value)
				}
			}
			delete(sent, name)
		}
	}
	for name, values := range sent {
		if meant := resembles(name, values); meant != "" {
			return q, badRequest(access.BadQuery, fmt.Sprintf("there is no parameter %.32q; use %q", name, meant))
		}
	}
	return q, nil
}

// newest is the last value of a parameter, and of the names that clients send it
// under the last one: what a library has added when it reconnected is newer than
// what the page's URL says.
func (q query) newest(name string) string {
	values := q.Values[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// resembles is the parameter that a name which is none of them must have meant,
// or "". What resembles id (uid, sid) means it only with a value of its own.
func resembles(name string, values []string) string {
	if slices.Contains(strangers, name) {
		return ""
	}
	whole := letters(name)
	field, _, _ := strings.Cut(name, "[") // as form libraries write lists and maps
	head := letters(field)
	for _, p := range parameters {
		own := letters(p.name)
		if !near(whole, own) && !near(head, own) {
			continue
		}
		if p.values == nil || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(p.values, v) }) {
			return p.name
		}
	}
	return ""
}

// letters are those of a name, in lower case.
func letters(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name))
}

// near reports whether a is b but for one letter more, one less, another one, or
// two neighbours that have changed places.
func near(a, b []rune) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 2 && len(b) == 2 {
		return a[0] == b[1] && a[1] == b[0]
	}
	return len(a) <= 1 && len(b) <= 1
}
