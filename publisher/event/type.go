package event

import (
	"errors"
	"fmt"
	"time"
)

// HeaderType is the NATS header that sets an event's type, which is the SSE
// event: name. An event without it has the type TypeData.
const HeaderType = "Event-Type"

// The types that Sluice itself writes.
const (
	TypeData      = "data"
	TypeHeartbeat = "heartbeat"
	TypeSystem    = "system"
)

// DefaultHeartbeat is how often an edge gives each client a heartbeat unless
// told otherwise.
const DefaultHeartbeat = 30 * time.Second

// MaxTypeBytes is the length of the longest event type, in bytes.
const MaxTypeBytes = 64

// ErrType is what every refused event type is.
var ErrType = errors.New("invalid event type")

// CheckType reports whether a publisher may use s as an event type: 1 to 64
// characters from A-Z, a-z, 0-9, _, . and -, and none of heartbeat and system,
// which the edge writes, nor open and error, which an EventSource fires itself
// (WHATWG HTML, 9.2.2).
func CheckType(s string) error {
	switch s {
	case TypeHeartbeat, TypeSystem, "open", "error":
		return fmt.Errorf("%w: %q is reserved", ErrType, s)
	case "":
		return fmt.Errorf("%w: it is empty", ErrType)
	}
	if len(s) > MaxTypeBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrType, len(s), MaxTypeBytes)
	}
	for i := range len(s) {
		if c := s[i]; !isWord(c) && c != '.' && c != '-' {
			return fmt.Errorf("%w %q: it is made of A-Z a-z 0-9 _ . -", ErrType, s)
		}
	}
	return nil
}

// The media types of CloudEvents 1.0 in JSON, of one event and of several
// (CloudEvents, JSON Event Format 1.0.2, 3 and 4).
const (
	MediaTypeCloud = "application/cloudevents+json"
	MediaTypeBatch = "application/cloudevents-batch+json"
)
