package fleet

import (
	"bytes"
	"errors"
	"fmt"
)

// maxHead bounds the head of a response, in bytes.
const maxHead = 16 << 10

var (
	errEnded = errors.New("the server ended the response")
	errChunk = errors.New("malformed chunk in the response")
	errHead  = errors.New("no HTTP response head in the first 16 KiB")
)

// response undoes HTTP/1.1's framing of one response body (RFC 9112, 7.1).
// Trailers and chunk extensions are passed over.
type response struct {
	state state
	left  uint64 // of the chunk, in bytes
	head  []byte // of a head that has not come whole
}

type state uint8

const (
	inHead state = iota
	inSize
	inExtension // up to the line's end
	inData
	afterData
	unframed // no chunks: the body ends with the connection
	ended
)

// begun reports whether the head has come.
func (r *response) begun() bool { return r.state != inHead }

// body takes bytes off the wire in b and moves those of the body to b[:n]. The
// rest of b is garbage then.
func (r *response) body(b []byte) (n int, err error) {
	at := 0
	if r.state == inHead {
		if at, err = r.readHead(b); err != nil || r.state == inHead {
			return 0, err
		}
	}
	for at < len(b) {
		switch r.state {
		case inData:
			part := b[at:min(uint64(len(b)), uint64(at)+r.left)]
			at += len(part)
			r.left -= uint64(len(part))
			n += copy(b[n:], part)
			if r.left == 0 {
				r.state = afterData
			}
		case unframed:
			return n + copy(b[n:], b[at:]), nil
		case ended:
			return n, errEnded
		default:
			if err := r.frame(b[at]); err != nil {
				return n, err
			}
			at++
		}
	}
	if r.state == ended {
		return n, errEnded
	}
	return n, nil
}

// frame takes one byte between two chunks' data.
func (r *response) frame(c byte) error {
	switch r.state {
	case afterData:
		if c == '\n' {
			r.state, r.left = inSize, 0
		} else if c != '\r' {
			return errChunk
		}
	case inSize:
		digit, ok := hexDigit(c)
		switch {
		case ok && r.left < 1<<32:
			r.left = r.left<<4 | uint64(digit)
		case c == '\r' || c == ';' || c == ' ':
			r.state = inExtension
		case c == '\n':
			r.endSize()
		default:
			return errChunk
		}
	case inExtension:
		if c == '\n' {
			r.endSize()
		}
	}
	return nil
}

func (r *response) endSize() {
	r.state = inData
	if r.left == 0 {
		r.state = ended
	}
}

// readHead returns where in b the body begins.
func (r *response) readHead(b []byte) (at int, err error) {
	before := len(r.head)
	r.head = append(r.head, b...)
	i := bytes.Index(r.head, []byte("\r\n\r\n"))
	if i < 0 {
		if len(r.head) > maxHead {
			return 0, errHead
		}
		return 0, nil
	}
	head := bytes.ToLower(r.head[:i])
	r.head = nil
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("http/1.")) || !bytes.Contains(line, []byte(" 200")) {
		return 0, fmt.Errorf("the server answered %.80q", line)
	}
	r.state = unframed
	if bytes.Contains(rest, []byte("transfer-encoding: chunked")) {
		r.state = inSize
	}
	return i + 4 - before, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
