package event_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"sluice/publisher/event"
)

func TestWhatAPayloadCounts(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		size       int
		text       bool
	}{
		{"nothing", "", 0, true},
		{"one line", "{}", 2, true},
		{"a line end", "[\n]", 2 + 7, true},
		{"CR", "[\r]", 2 + 7, true},
		{"CRLF is one", "[\r\n]", 2 + 7, true},
		{"LF CR are two", "[\n\r]", 2 + 14, true},
		{"only line ends", "\n\n", 14, true},
		{"more than ASCII", "\"é\"", 4, true},
		{"not UTF-8", "\xff\n", 4, false},
		{"not UTF-8, four bytes", "\xff\xff\xff\xff", 8, false},
	} {
		size, text := event.Size([]byte(tt.data))
		assert.Equal(t, tt.size, size, tt.name)
		assert.Equal(t, tt.text, text, tt.name)
	}
}
