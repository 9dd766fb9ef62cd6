package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sluice/publisher"
	"sluice/publisher/event"
)

// IDs makes message ids that are the same when a job runs again, so that the
// log holds each of its events once. JetStream compares ids over the whole
// stream, so an id holds the event's topic and type too. The zero value leaves
// the ids to the publisher, which makes new ones.
type IDs struct {
	// Job names the run: an id holds it, the event's line or sequence number,
	// and a hash of the payload, since another input may have another event
	// there. With Field it holds the field's value instead of these two.
	Job string
	// Field is where the payload has its own id: the names of nested JSON
	// members joined by dots, such as "id" or "order.id". Its value is a
	// string or a number; an event without one is invalid.
	Field string
}

// hashBytes is how much of a payload's SHA-256 an id holds.
const hashBytes = 16

// Check reports what is wrong with the settings.
func (ids IDs) Check() error {
	if err := publisher.CheckMsgID(ids.Job); err != nil {
		return fmt.Errorf("job id: %w", err)
	}
	for name := range strings.SplitSeq(ids.Field, ".") {
		if name == "" && ids.Field != "" {
			return fmt.Errorf("field %q: want the names of nested JSON members joined by dots", ids.Field)
		}
	}
	return nil
}

// For is the message id of e, the n-th event, "" when the publisher is to make
// one. It reads e's topic, type and data. Its error wraps publisher.ErrInvalid.
func (ids IDs) For(n uint64, e publisher.Event) (string, error) {
	switch {
	case ids.Field != "":
		value, err := field(e.Data, ids.Field)
		if err != nil {
			return "", fmt.Errorf("%w: %w", publisher.ErrInvalid, err)
		}
		if err := publisher.CheckMsgID(value); err != nil {
			return "", err
		}
		return ids.id(e, "id", value), nil
	case ids.Job != "":
		hash := sha256.Sum256(e.Data)
		return ids.id(e, "n", strconv.FormatUint(n, 10)+":"+hex.EncodeToString(hash[:hashBytes])), nil
	default:
		return "", nil
	}
}

// Named is the message id of e when name is the event's own, as a field's value is.
func (ids IDs) Named(e publisher.Event, name string) string { return ids.id(e, "id", name) }

// inJob keeps the end of a job's name from being taken for the next part.
var inJob = strings.NewReplacer("%", "%25", ":", "%3A")

// id joins the parts of an id. None but the last has a colon, so that
// different parts never give the same id. One that is too long is its hash.
func (ids IDs) id(e publisher.Event, kind, value string) string {
	id := e.Topic + ":" + cmp.Or(e.Type, event.TypeData) + ":"
	if ids.Job != "" {
		id += "job:" + inJob.Replace(ids.Job) + ":"
	}
	id += kind + ":" + value
	if len(id) <= publisher.MaxMsgIDBytes {
		return id
	}
	hash := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(hash[:])
}

// field is the text of a JSON string or number inside data.
func field(data []byte, path string) (string, error) {
	for name, rest, more := "", path, true; more; {
		name, rest, more = strings.Cut(rest, ".")
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil || members[name] == nil {
			return "", fmt.Errorf("the data has no field %q", path)
		}
		data = members[name]
	}
	var text string
	if json.Unmarshal(data, &text) == nil && text != "" {
		return text, nil
	}
	var number json.Number
	if data[0] != '"' && json.Unmarshal(data, &number) == nil && number != "" {
		return number.String(), nil
	}
	return "", fmt.Errorf("the field %q is neither a string nor a number", path)
}
