package feed

import (
	"bytes"
	"strconv"
	"time"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// frame is one step of the log as the ring keeps it: an event, or a gap, which
// has no topic and goes to everyone. A gap's id is the position just before
// the next event.
type frame struct {
	index uint64 // in the ring, which sets it
	id    event.ID
	time  int64  // store time, or a gap's discovery, Unix nanoseconds
	topic string // "" for a gap
	typ   string // Event-Type as published
	data  []byte // as published; shares memory with block where it can
	block []byte // the SSE block
	cost  int64  // what it counts against RingBytes
}

// frameOverhead is what a frame costs in memory beside its bytes.
const frameOverhead = 160

func (f *frame) isGap() bool { return f.topic == "" }

// newFrame encodes m once for all clients.
func newFrame(enc *sse.Encoder, m *sse.Message) (frame, sse.Flaw) {
	block, flaw := enc.Append(nil, m)
	f := frame{id: m.ID, time: m.Time.UnixNano(), topic: m.Topic, typ: m.Header, data: m.Data, block: block}
	f.cost = int64(len(block)+len(m.Data)) + frameOverhead
	if i := bytes.Index(block, m.Data); i >= 0 {
		f.data = block[i : i+len(m.Data) : i+len(m.Data)]
		f.cost -= int64(len(m.Data))
	}
	return f, flaw
}

func (f *frame) message() *sse.Message {
	return &sse.Message{ID: f.id, Topic: f.topic, Header: f.typ, Data: f.data, Time: time.Unix(0, f.time)}
}

// Encoding is how a subscription's bytes look.
type Encoding struct {
	CloudEvents bool // data: is a CloudEvents envelope
	Chunked     bool // one HTTP/1.1 chunk around each write (RFC 9112, 7.1)
}

// join renders frames as one write.
func (e Encoding) join(enc *sse.Encoder, frames []frame) []byte {
	size := 0
	for i := range frames {
		size += len(frames[i].block)
	}
	if !e.CloudEvents {
		b := make([]byte, 0, size+chunkOverhead)
		b = e.open(b, size)
		for i := range frames {
			b = append(b, frames[i].block...)
		}
		return e.close(b)
	}
	body := make([]byte, 0, size+len(frames)*256)
	for i := range frames {
		if f := &frames[i]; f.isGap() {
			body = append(body, f.block...)
		} else {
			body, _ = enc.AppendCloudEvent(body, f.message())
		}
	}
	return e.wrap(body)
}

// chunkOverhead is room for a chunk's size line and its line ends.
const chunkOverhead = 16

// wrap renders one block, or several, as one write.
func (e Encoding) wrap(body []byte) []byte {
	if !e.Chunked {
		return body
	}
	b := e.open(make([]byte, 0, len(body)+chunkOverhead), len(body))
	return e.close(append(b, body...))
}

func (e Encoding) open(b []byte, size int) []byte {
	if !e.Chunked {
		return b
	}
	return append(strconv.AppendInt(b, int64(size), 16), '\r', '\n')
}

func (e Encoding) close(b []byte) []byte {
	if !e.Chunked {
		return b
	}
	return append(b, '\r', '\n')
}
