package streamtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Block is one dispatched event, as an EventSource gives it to its page.
type Block struct {
	ID    string // the last event id after it
	Type  string
	Data  string
	Retry string // of this block, "" when it has none
	HasID bool   // it has an id field of its own
}

// Seq is the position in its id; it panics on an id that is none of ours.
func (b Block) Seq() uint64 { return b.Position().Seq }

// Position is its id, parsed.
func (b Block) Position() event.ID {
	id, err := event.ParseID(b.ID)
	if err != nil {
		panic(fmt.Sprintf("block %+v: %v", b, err))
	}
	return id
}

// System is the data of a system block.
func (b Block) System() sse.System {
	var s sse.System
	if err := json.Unmarshal([]byte(b.Data), &s); err != nil {
		panic(fmt.Sprintf("block %+v: %v", b, err))
	}
	return s
}

// IsEvent reports whether it is an event of the log.
func (b Block) IsEvent() bool { return b.Type != event.TypeSystem && b.Type != event.TypeHeartbeat }

// parser reads blocks as WHATWG HTML, section 9.2.6, says, step by step. It
// shares no code with the encoder.
type parser struct {
	r        *bufio.Reader
	idBuffer string
	lastID   string
	comments int
	afterCR  bool
}

// next is the next dispatched block. An end in the middle of one is
// io.ErrUnexpectedEOF, and its fields are discarded.
func (p *parser) next() (Block, error) {
	var (
		b    Block
		data strings.Builder
		some bool
	)
	for {
		line, err := p.line()
		if err == io.EOF && some {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Block{}, err
		}
		if line == "" {
			p.lastID = p.idBuffer
			if data.Len() > 0 {
				b.ID, b.Data = p.lastID, strings.TrimSuffix(data.String(), "\n")
				if b.Type == "" {
					b.Type = "message"
				}
				return b, nil
			}
			b, some = Block{}, false
			continue
		}
		some = some || line[0] != ':'
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			p.comments++
		case "event":
			b.Type = value
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				p.idBuffer, b.HasID = value, true
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				b.Retry = value
			}
		}
	}
}

// line is the next line, which CRLF, LF or CR ends.
func (p *parser) line() (string, error) {
	var line []byte
	for {
		if _, err := p.r.Peek(1); err != nil {
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		read, _ := p.r.Peek(p.r.Buffered())
		if p.afterCR {
			p.afterCR = false
			if read[0] == '\n' {
				_, _ = p.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(read, "\r\n")
		if end < 0 {
			line = append(line, read...)
			_, _ = p.r.Discard(len(read))
			continue
		}
		line = append(line, read[:end]...)
		p.afterCR = read[end] == '\r'
		_, _ = p.r.Discard(end + 1)
		return string(line), nil
	}
}
