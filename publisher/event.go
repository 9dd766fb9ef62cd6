package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"sluice/publisher/event"
)

// ErrInvalid is what every error about one event that cannot be published as
// it is wraps. Other events are not concerned.
var ErrInvalid = errors.New("invalid event")

// MaxMsgIDBytes is the length of the longest message id, in bytes. The stream
// keeps the ids of its duplicate window in memory.
const MaxMsgIDBytes = 256

// Event is one event on its way to the log.
type Event struct {
	// Topic is where it goes; see event.CheckTopic.
	Topic string
	// Type is the SSE event name; "" is event.TypeData.
	Type string
	// MsgID makes the event idempotent: within the stream's duplicate window
	// a second event with the same id is acknowledged and not stored, on
	// whatever topic, so an id should hold the topic. With "" the publisher
	// makes a unique one, so that its own resends are.
	MsgID string
	// Data is one JSON value in UTF-8. It must not change before the event's
	// result is known.
	Data []byte
	// OnResult, where set, is called once with the result of an event that
	// Publish has accepted. For one that Publish does not accept, its error is
	// the result; Run counts and logs it. See Result for when and how it is
	// called.
	OnResult func(Result)
}

// Check reports what keeps the event out of a log whose payloads have at most
// maxBytes bytes, as event.Size counts them. The error wraps ErrInvalid.
func (e *Event) Check(maxBytes int) error {
	if err := event.CheckTopic(e.Topic); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if e.Type != "" {
		if err := event.CheckType(e.Type); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err := CheckMsgID(e.MsgID); err != nil {
		return err
	}
	if size, _ := event.Size(e.Data); size > maxBytes {
		return fmt.Errorf("%w: %d bytes of data (a line end counts 7), MAX_EVENT_BYTES allows %d", ErrInvalid, size, maxBytes)
	}
	return CheckData(e.Data)
}

// CheckData reports whether data is one JSON value in UTF-8. Its error wraps
// ErrInvalid.
func CheckData(data []byte) error {
	if !json.Valid(data) || !utf8.Valid(data) {
		return fmt.Errorf("%w: the data is not one JSON value in UTF-8", ErrInvalid)
	}
	return nil
}

// CheckMsgID reports whether id can be a NATS header's value unchanged: at
// most MaxMsgIDBytes bytes of UTF-8 without control characters and without a
// space at either end. The empty id passes. The error wraps ErrInvalid.
func CheckMsgID(id string) error {
	switch {
	case len(id) > MaxMsgIDBytes:
		return fmt.Errorf("%w: a message id of %d bytes, at most %d are allowed", ErrInvalid, len(id), MaxMsgIDBytes)
	case id == "":
		return nil
	case id[0] == ' ', id[len(id)-1] == ' ', !utf8.ValidString(id):
		return fmt.Errorf("%w: message id %q: it is UTF-8 without a space at either end", ErrInvalid, id)
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] == 0x7f {
			return fmt.Errorf("%w: message id %q has a control character", ErrInvalid, id)
		}
	}
	return nil
}
