package event

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of the topic grammar.
const (
	// MaxTokens is how many tokens a topic or a filter has at most.
	MaxTokens = 16
	// MaxTokenBytes is how long one token is at most, in bytes.
	MaxTokenBytes = 64
	// MaxTopicBytes is the length of the longest topic, in bytes.
	MaxTopicBytes = MaxTokens*MaxTokenBytes + MaxTokens - 1
)

// TopicGrammar is what CheckTopic accepts, in words.
const TopicGrammar = "1 to 16 tokens of 1 to 64 characters from A-Z a-z 0-9 _ -, joined by dots"

// SubjectPrefix is what every event's NATS subject begins with.
const SubjectPrefix = "events."

// AllSubjects is the NATS subject filter of every event.
const AllSubjects = SubjectPrefix + ">"

// ErrTopic is what every refused topic, filter and subject is.
var ErrTopic = errors.New("invalid topic")

// CheckTopic reports whether s is a topic: 1 to 16 tokens of 1 to 64
// characters from A-Z, a-z, 0-9, _ and -, joined by dots. The error wraps
// ErrTopic and never repeats more of s than its first bytes.
func CheckTopic(s string) error { return check(s, false) }

// CheckFilter reports whether s is a topic in which tokens may also be the
// NATS wildcards: * for any one token, and > as the last one for one or more.
func CheckFilter(s string) error { return check(s, true) }

// Subject is the NATS subject of a topic or of a topic filter.
func Subject(topic string) string { return SubjectPrefix + topic }

// Topic is the topic of a NATS subject; ok is false when the subject is not
// one of ours or its topic breaks the grammar.
func Topic(subject string) (topic string, ok bool) {
	topic, ok = strings.CutPrefix(subject, SubjectPrefix)
	if !ok || CheckTopic(topic) != nil {
		return "", false
	}
	return topic, true
}

// ParseSubjectFilter is the topic filter of a NATS subject filter, as an
// operator writes it (events.metric.>).
func ParseSubjectFilter(subject string) (filter string, err error) {
	filter, ok := strings.CutPrefix(subject, SubjectPrefix)
	if !ok {
		return "", fmt.Errorf("%w: subject %q does not begin with %q", ErrTopic, clip(subject), SubjectPrefix)
	}
	return filter, CheckFilter(filter)
}

// Covers reports whether every topic that filter matches is matched by wide
// too. Both are filters that CheckFilter accepts.
func Covers(wide, filter string) bool {
	// What both begin with covers itself, up to its last whole token.
	same := 0
	for same < len(wide) && same < len(filter) && wide[same] == filter[same] {
		same++
	}
	begin := strings.LastIndexByte(wide[:same], '.') + 1
	wide, filter = wide[begin:], filter[begin:]
	for {
		w, wRest, wMore := strings.Cut(wide, ".")
		f, fRest, fMore := strings.Cut(filter, ".")
		switch {
		case w == ">":
			return true
		case f == ">", w != "*" && w != f:
			return false
		case !wMore || !fMore:
			return wMore == fMore
		}
		wide, filter = wRest, fRest
	}
}

// Matches reports whether filter matches topic.
func Matches(filter, topic string) bool { return Covers(filter, topic) }

func check(s string, wild bool) error {
	if s == "" {
		return fmt.Errorf("%w: it is empty", ErrTopic)
	}
	if len(s) > MaxTopicBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTopic, len(s), MaxTopicBytes)
	}
	tokens := 0
	for rest, more := s, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if tokens++; tokens > MaxTokens {
			return fmt.Errorf("%w %q: more than %d tokens", ErrTopic, clip(s), MaxTokens)
		}
		if wild && (token == "*" || token == ">" && !more) {
			continue
		}
		if err := checkToken(token); err != nil {
			return fmt.Errorf("%w %q: %s", ErrTopic, clip(s), err)
		}
	}
	return nil
}

func checkToken(token string) error {
	if token == "" {
		return errors.New("a token is empty")
	}
	if len(token) > MaxTokenBytes {
		return fmt.Errorf("a token is longer than %d bytes", MaxTokenBytes)
	}
	for i := range len(token) {
		if c := token[i]; !isWord(c) && c != '-' {
			return errors.New("tokens are made of A-Z a-z 0-9 _ -, joined by dots")
		}
	}
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// clip keeps hostile input out of error messages beyond its first bytes.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
