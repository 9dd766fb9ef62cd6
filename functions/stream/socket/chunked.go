package socket

import (
	"strconv"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// Chunked is a wire format in HTTP/1.1 chunks, one around each write (RFC 9112,
// 7.1); an empty write has none, because a chunk of no bytes ends the response.
// Blocks that are part of a write (Event, Gap) are as Wire renders them.
type Chunked struct{ wire.Wire }

// chunkRoom is room for a chunk's size line: 16 hexadecimal digits, CR and LF.
const chunkRoom = 18

// Merge is part of wire.Wire. There is no copy: the size line is written into the
// margin.
func (c Chunked) Merge(margin int, frames []wire.Frame) []byte {
	b := c.Wire.Merge(margin+chunkRoom, frames)
	size := len(b) - margin - chunkRoom
	if size == 0 {
		return b[chunkRoom:]
	}
	var line [chunkRoom]byte
	head := append(strconv.AppendInt(line[:0], int64(size), 16), '\r', '\n')
	begin := margin + chunkRoom - len(head)
	copy(b[begin:], head)
	return append(b, '\r', '\n')[begin-margin:]
}

// Open is part of wire.Wire.
func (c Chunked) Open(at event.ID, o wire.Open) []byte { return chunk(c.Wire.Open(at, o)) }

// Heartbeat is part of wire.Wire.
func (c Chunked) Heartbeat(at event.ID, now time.Time, clients int) []byte {
	return chunk(c.Wire.Heartbeat(at, now, clients))
}

// Bye is part of wire.Wire.
func (c Chunked) Bye(at event.ID, why wire.Reason, retry time.Duration) []byte {
	return chunk(c.Wire.Bye(at, why, retry))
}

// KeepAlive is part of wire.Wire.
func (c Chunked) KeepAlive() []byte { return chunk(c.Wire.KeepAlive()) }

func chunk(body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	b := strconv.AppendInt(make([]byte, 0, len(body)+chunkRoom+2), int64(len(body)), 16)
	return append(append(append(b, '\r', '\n'), body...), '\r', '\n')
}

// lastChunk ends a chunked response.
var lastChunk = []byte("0\r\n\r\n")
