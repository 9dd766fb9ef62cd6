package streamtest

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
)

func TestParserReadsAsWHATWGSays(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []Block
		err          error
	}{
		{"a block", "id: 1\nevent: a\ndata: x\nretry: 5\n\n", []Block{{"1", "a", "x", "5", true}}, io.EOF},
		{"CRLF and CR end lines", "id: 1\r\ndata: x\r\ndata: y\r\r\ndata: z\r\n\r\n", []Block{{"1", "message", "x\ny", "", true}, {"1", "message", "z", "", false}}, io.EOF},
		{"the id stays", "id: 1\ndata\n\ndata: x\n\n", []Block{{"1", "message", "", "", true}, {"1", "message", "x", "", false}}, io.EOF},
		{"a block without data says nothing but its id", "id: 7\nevent: a\n\ndata: x\n\n", []Block{{"7", "message", "x", "", false}}, io.EOF},
		{"an empty id erases", "id: 1\ndata: x\n\nid\ndata: y\n\n", []Block{{"1", "message", "x", "", true}, {"", "message", "y", "", true}}, io.EOF},
		{"NUL is no id", "id: 1\x00\ndata: x\n\n", []Block{{"", "message", "x", "", false}}, io.EOF},
		{"comments and one space", ":c\ndata:  x\n:d\n\n:\n", []Block{{"", "message", " x", "", false}}, io.EOF},
		{"a bad retry is none", "retry: 1s\ndata: x\n\n", []Block{{"", "message", "x", "", false}}, io.EOF},
		{"cut in a block", "data: x\n", nil, io.ErrUnexpectedEOF},
		{"cut in a line", "data: x\n\ndat", []Block{{"", "message", "x", "", false}}, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.stream), iotest.OneByteReader(strings.NewReader(tt.stream))} {
				p := parser{r: bufio.NewReader(r)}
				var got []Block
				b, err := p.next()
				for ; err == nil; b, err = p.next() {
					got = append(got, b)
				}
				assert.Equal(t, tt.want, got)
				assert.True(t, errors.Is(err, tt.err), err)
			}
		})
	}
}
