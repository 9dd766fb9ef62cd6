package source

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sluice/publisher"
)

// IDs makes message ids that are the same when a job runs again, so that the
// log holds each of its events once. The zero value leaves them to the
// publisher, which makes new ones.
type IDs struct {
	// Job names the run: its events are Job:1, Job:2 and so on, by line or
	// sequence number. With Field too they are Job:<field's value>.
	Job string
	// Field is where the payload has its own id: the names of nested JSON
	// members joined by dots, such as "id" or "order.id". Its value is a
	// string or a number; an event without one is invalid.
	Field string
}

// Check reports what is wrong with the settings.
func (ids IDs) Check() error {
	if err := publisher.CheckMsgID(ids.id(strconv.Itoa(1 << 62))); err != nil {
		return fmt.Errorf("job id: %w", err)
	}
	for name := range strings.SplitSeq(ids.Field, ".") {
		if name == "" && ids.Field != "" {
			return fmt.Errorf("field %q: want the names of nested JSON members joined by dots", ids.Field)
		}
	}
	return nil
}

// For is the message id of the n-th event, "" when the publisher is to make
// one. Its error wraps publisher.ErrInvalid.
func (ids IDs) For(n uint64, data []byte) (string, error) {
	if ids.Field != "" {
		value, err := field(data, ids.Field)
		if err != nil {
			return "", fmt.Errorf("%w: %w", publisher.ErrInvalid, err)
		}
		id := ids.id(value)
		return id, publisher.CheckMsgID(id)
	}
	if ids.Job != "" {
		return ids.id(strconv.FormatUint(n, 10)), nil
	}
	return "", nil
}

func (ids IDs) id(value string) string {
	if ids.Job == "" {
		return value
	}
	return ids.Job + ":" + value
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
