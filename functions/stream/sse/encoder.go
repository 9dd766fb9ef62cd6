package sse

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// DefaultRetry is the reconnection time of blocks unless configured otherwise.
const DefaultRetry = 5 * time.Second

// Encoder turns messages into blocks. It is immutable and safe for concurrent
// use.
type Encoder struct {
	maxEventBytes int
	retry         time.Duration
	suffix        []byte // the default retry and the blank line
	source        []byte // of CloudEvents, from the id's end to the type
}

// NewEncoder returns an encoder for the JetStream stream of that name. retry is
// the reconnection time that blocks carry, in whole milliseconds; below one it
// is DefaultRetry. A payload above maxEventBytes, as event.Size counts it, is not
// sent but only told, so a block stays below maxEventBytes and event.BlockOverhead;
// 0 means event.DefaultMaxBytes.
func NewEncoder(stream string, retry time.Duration, maxEventBytes int) *Encoder {
	if retry < time.Millisecond {
		retry = DefaultRetry
	}
	if maxEventBytes <= 0 {
		maxEventBytes = event.DefaultMaxBytes
	}
	return &Encoder{
		maxEventBytes: maxEventBytes,
		retry:         retry,
		suffix:        appendRetry(nil, retry),
		source:        []byte(`","source":"/` + url.PathEscape(stream) + `","type":"`),
	}
}

// Retry is the reconnection time that blocks carry.
func (e *Encoder) Retry() time.Duration { return e.retry }

// The fixed parts of a block.
const (
	idField    = "id: "
	eventField = "event: "
	dataField  = "data: "
	retryField = "retry: "

	base64Open  = `{"encoding":"base64","data":"`
	base64Close = `"}`
	omittedOpen = `{"encoding":"omitted","size":`
)

// Append appends the block of m to b. The payload is sent as it is, one data
// line for each of its lines (they end in CRLF, LF or CR), so the client gets
// it back with LF line ends. It allocates only where b lacks the room, once and
// for the whole block, and for the error of a malformed type.
func (e *Encoder) Append(b []byte, m *wire.Message) ([]byte, wire.Flaw) {
	typ, flaw := eventType(m.Header)
	flaw |= e.payloadFlaw(m.Data)
	head := headSize(typ) + len(e.suffix)
	switch {
	case flaw&wire.FlawSize != 0:
		b = slices.Grow(b, head+len(dataField)+len(omittedOpen)+len("18446744073709551615}\n"))
		b = append(appendHead(b, m.ID, typ), dataField...)
		b = append(appendOmitted(b, len(m.Data)), '\n')
	case flaw&wire.FlawUTF8 != 0:
		size := len(base64Open) + base64.StdEncoding.EncodedLen(len(m.Data)) + len(base64Close)
		b = slices.Grow(b, head+len(dataField)+size+1)
		b = append(appendHead(b, m.ID, typ), dataField+base64Open...)
		b = base64.StdEncoding.AppendEncode(b, m.Data)
		b = append(b, base64Close+"\n"...)
	default:
		b = slices.Grow(b, head+linesSize(m.Data))
		b = appendLines(appendHead(b, m.ID, typ), m.Data)
	}
	return append(b, e.suffix...), flaw
}

// appendBlock appends a block of the edge's own. An empty id is a block without
// an id line. retry 0 means the encoder's; id and typ have no line ends.
func (e *Encoder) appendBlock(b, id []byte, typ string, retry time.Duration, data []byte) []byte {
	b = slices.Grow(b, len(id)+headSize(typ)+linesSize(data)+len(e.suffix)+len("18446744073709551615"))
	if len(id) > 0 {
		b = append(append(append(b, idField...), id...), '\n')
	}
	b = append(append(append(b, eventField...), typ...), '\n')
	b = appendLines(b, data)
	if retry < time.Millisecond {
		return append(b, e.suffix...)
	}
	return appendRetry(b, retry)
}

// AppendComment appends a keep-alive: a comment line without a blank line after
// it, which may stand between any two blocks and dispatches nothing.
func AppendComment(b []byte) []byte { return append(b, ":\n"...) }

// eventType is the SSE event name of an Event-Type header.
func eventType(header string) (string, wire.Flaw) {
	if header == "" {
		return event.TypeData, 0
	}
	if event.CheckType(header) != nil {
		return event.TypeData, wire.FlawType
	}
	return header, 0
}

func (e *Encoder) payloadFlaw(data []byte) wire.Flaw {
	if len(data) > e.maxEventBytes { // it counts as much at least
		return wire.FlawSize
	}
	size, text := event.Size(data)
	switch {
	case size > e.maxEventBytes:
		return wire.FlawSize
	case !text:
		return wire.FlawUTF8
	}
	return 0
}

func headSize(typ string) int {
	return len(idField) + event.IDBytes + 1 + len(eventField) + len(typ) + 1
}

func appendHead(b []byte, id event.ID, typ string) []byte {
	b = append(id.Append(append(b, idField...)), '\n')
	return append(append(append(b, eventField...), typ...), '\n')
}

func appendRetry(b []byte, retry time.Duration) []byte {
	b = strconv.AppendInt(append(b, retryField...), retry.Milliseconds(), 10)
	return append(b, "\n\n"...)
}

// appendOmitted appends what stands for a payload that is too large.
func appendOmitted(b []byte, size int) []byte {
	return append(strconv.AppendInt(append(b, omittedOpen...), int64(size), 10), '}')
}

// linesSize is how many bytes appendLines appends.
func linesSize(data []byte) int {
	ends, size := event.LineEnds(data)
	return len(data) - size + (ends+1)*(len(dataField)+1)
}

// appendLines appends a data line for each line of data, so at least one: a
// block without a data line would dispatch nothing.
func appendLines(b, data []byte) []byte {
	for {
		b = append(b, dataField...)
		i := lineEnd(data)
		if i < 0 {
			return append(append(b, data...), '\n')
		}
		b = append(append(b, data[:i]...), '\n')
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
}

// lineEnd is the index of the first CR or LF in data, -1 for none.
func lineEnd(data []byte) int {
	lf := bytes.IndexByte(data, '\n')
	if lf >= 0 {
		data = data[:lf]
	}
	if cr := bytes.IndexByte(data, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
