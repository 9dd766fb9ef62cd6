package sse

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"sluice/functions/stream/feed/wire"
)

// The members of a CloudEvents 1.0 JSON envelope (CloudEvents JSON event
// format, section 3) around the ones that change.
const (
	envelopeOpen    = dataField + `{"specversion":"1.0","id":"`
	envelopeSubject = `","subject":`
	envelopeTime    = `,"time":"`
	envelopeJSON    = `","datacontenttype":"application/json","data":`
	envelopeText    = `","datacontenttype":"text/plain","data":`
	envelopeBinary  = `","datacontenttype":"application/octet-stream","data_base64":"`
	envelopeClose   = "}\n"
)

// AppendCloudEvent appends the block of m to b as Append does, with a
// CloudEvents 1.0 JSON envelope as its data, always on one line: a JSON payload
// stands in it as it is but for line ends, other text as a JSON string, bytes
// that are not UTF-8 as data_base64. It allocates as Append does, and a few times
// more for text that is no JSON.
func (e *Encoder) AppendCloudEvent(b []byte, m *wire.Message) ([]byte, wire.Flaw) {
	typ, flaw := eventType(m.Header)
	flaw |= e.payloadFlaw(m.Data)
	var stampRoom [len(time.RFC3339Nano)]byte
	stamp := m.Time.UTC().AppendFormat(stampRoom[:0], time.RFC3339Nano)

	isJSON := flaw&(wire.FlawSize|wire.FlawUTF8) == 0 && json.Valid(m.Data)
	if flaw&(wire.FlawSize|wire.FlawUTF8) == 0 && !isJSON && quotedSize(m.Data) > e.maxEventBytes {
		flaw |= wire.FlawSize // as a JSON string it is
	}
	b = slices.Grow(b, 2*headSize(typ)+len(envelopeOpen)+len(e.source)+len(envelopeSubject)+
		quotedSize(m.Topic)+len(envelopeTime)+len(stamp)+len(envelopeBinary)+e.envelopeSize(m.Data, flaw, isJSON)+
		len(envelopeClose)+len(e.suffix))

	b = append(appendHead(b, m.ID, typ), envelopeOpen...)
	b = append(m.ID.Append(b), e.source...)
	b = append(append(b, typ...), envelopeSubject...)
	b = append(appendQuoted(b, m.Topic), envelopeTime...)
	b = append(b, stamp...)
	switch {
	case flaw&wire.FlawSize != 0:
		b = appendOmitted(append(b, envelopeJSON...), len(m.Data))
	case flaw&wire.FlawUTF8 != 0:
		b = base64.StdEncoding.AppendEncode(append(b, envelopeBinary...), m.Data)
		b = append(b, '"')
	case isJSON:
		b = appendOneLine(append(b, envelopeJSON...), m.Data)
	default:
		b = appendQuoted(append(b, envelopeText...), m.Data)
	}
	b = append(b, envelopeClose...)
	return append(b, e.suffix...), flaw
}

// envelopeSize is the room that the payload takes in an envelope.
func (e *Encoder) envelopeSize(data []byte, flaw wire.Flaw, isJSON bool) int {
	switch {
	case flaw&wire.FlawSize != 0:
		return len(omittedOpen) + len("18446744073709551615}")
	case flaw&wire.FlawUTF8 != 0:
		return base64.StdEncoding.EncodedLen(len(data)) + 1
	case isJSON:
		return len(data)
	}
	return quotedSize(data)
}

// appendOneLine appends JSON text without its line ends. They are white space
// between tokens (RFC 8259, section 2), and no two tokens need any.
func appendOneLine(b, data []byte) []byte {
	for {
		i := lineEnd(data)
		if i < 0 {
			return append(b, data...)
		}
		b = append(b, data[:i]...)
		data = data[i+1:]
	}
}

// quotedSize is how many bytes appendQuoted appends for valid UTF-8.
func quotedSize[T string | []byte](s T) int {
	size := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			size++
		case c < ' ':
			size += len(`\u0000`) - 1
		}
	}
	return size
}

// appendQuoted appends valid UTF-8 as a JSON string; only what RFC 8259
// section 7 demands is escaped.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
