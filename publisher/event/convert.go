package event

import (
	"fmt"
	"strings"
)

// TopicOf is a name of another system as a topic, such as the subject of a
// CloudEvent: dots, slashes and colons separate its tokens, of which empty ones are
// left out, and every other character that no token has becomes "_". So
// objects/a b.txt is objects.a_b.txt. What is too long for the grammar, or nothing,
// is an error that wraps ErrTopic: it is never cut.
func TopicOf(name string) (string, error) {
	if len(name) > MaxTopicBytes {
		return "", fmt.Errorf("%w: a name of %d bytes, at most %d are allowed", ErrTopic, len(name), MaxTopicBytes)
	}
	tokens := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("./:", r) })
	for i, token := range tokens {
		tokens[i] = strings.Map(func(r rune) rune {
			if r < 0x80 && (isWord(byte(r)) || r == '-') {
				return r
			}
			return '_'
		}, token)
	}
	topic := strings.Join(tokens, ".")
	return topic, CheckTopic(topic)
}

// TypeOf is a name of another system as an event type: every character that no type
// has becomes "_". What is too long, reserved or nothing is an error that wraps
// ErrType.
func TypeOf(name string) (string, error) {
	typ := strings.Map(func(r rune) rune {
		if r < 0x80 && (isWord(byte(r)) || r == '.' || r == '-') {
			return r
		}
		return '_'
	}, name)
	return typ, CheckType(typ)
}
