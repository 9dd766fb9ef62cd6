package event

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

const (
	// BlockBytes is what a block of an event stream stays below unless MAX_EVENT_BYTES
	// is raised: many clients read no more into one buffer, and would ask for a larger
	// one again and again.
	BlockBytes = 64 << 10
	// BlockOverhead is what a block takes at most beside what its payload counts: id,
	// type and retry, and in a CloudEvents envelope also topic, source and time. Only a
	// long name of a stream that a URL has to escape takes more.
	BlockOverhead = 2 << 10
)

// lineBytes is what a line of a payload takes in a block beside itself: the name of
// its field, and its end.
const lineBytes = len("data: \n")

// Size is what a payload counts for MAX_EVENT_BYTES, which is what it takes in a
// block: a line end counts lineBytes, whether it is LF, CR or CRLF, and what is not
// UTF-8 counts as base64. text says that it is UTF-8.
func Size(data []byte) (size int, text bool) {
	if !utf8.Valid(data) {
		return base64.StdEncoding.EncodedLen(len(data)), false
	}
	ends, size := LineEnds(data)
	return len(data) - size + ends*lineBytes, true
}

// LineEnds counts the line ends of data (CRLF, LF or CR), and the bytes that they
// take.
func LineEnds(data []byte) (ends, size int) {
	lf, cr := bytes.Count(data, []byte{'\n'}), bytes.Count(data, []byte{'\r'})
	ends = lf + cr
	if lf > 0 && cr > 0 {
		ends -= bytes.Count(data, []byte("\r\n"))
	}
	return ends, lf + cr
}
