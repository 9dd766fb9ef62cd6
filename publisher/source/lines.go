package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/publisher"
)

// LinesOptions is what the lines become.
type LinesOptions struct {
	// Topic and Type are those of every event.
	Topic, Type string
	IDs         IDs
	// MaxBytes bounds a line without its end. Of a longer one no more than
	// this is ever held.
	MaxBytes int
}

// Lines gives the lines of a reader as events, each as soon as its line end
// has arrived (NDJSON: one JSON value a line, blank lines mean nothing, nor does a
// byte order mark before the first). A line
// that is none is an error that wraps publisher.ErrInvalid and names its
// number, counted from 1; the next call gives the next line.
type Lines struct {
	opts   LinesOptions
	lines  <-chan line
	number uint64
}

// Line is the number of the line that Next gave last.
func (l *Lines) Line() uint64 { return l.number }

// line is one line as read, or why there is none.
type line struct {
	number uint64
	data   []byte
	err    error
}

// bom is the byte order mark that some editors and PowerShell put before a
// text in UTF-8.
var bom = []byte("\xef\xbb\xbf")

// readAhead is how many lines wait for Next.
const readAhead = 64

// NewLines starts to read r. The reading goroutine cannot be interrupted in
// r.Read: it ends with r, or when ctx has ended and r.Read returns.
func NewLines(ctx context.Context, r io.Reader, opts LinesOptions) *Lines {
	lines := make(chan line, readAhead)
	go func() {
		defer close(lines)
		read(ctx, r, opts.MaxBytes, lines)
	}()
	return &Lines{opts: opts, lines: lines}
}

func (l *Lines) Next(ctx context.Context) (publisher.Event, error) {
	select {
	case ln, ok := <-l.lines:
		if !ok {
			return publisher.Event{}, io.EOF
		}
		l.number = ln.number
		return l.event(ln)
	case <-ctx.Done():
		return publisher.Event{}, ctx.Err()
	}
}

func (l *Lines) event(ln line) (publisher.Event, error) {
	e := publisher.Event{Topic: l.opts.Topic, Type: l.opts.Type, Data: ln.data}
	err := ln.err
	if err == nil {
		err = publisher.CheckData(ln.data)
	}
	if err == nil {
		e.MsgID, err = l.opts.IDs.For(ln.number, e)
	}
	if err != nil {
		return publisher.Event{}, fmt.Errorf("line %d: %w", ln.number, err)
	}
	return e, nil
}

// read sends the lines of r that are not blank until r or ctx ends.
func read(ctx context.Context, r io.Reader, maxBytes int, lines chan<- line) {
	// Room for a line of maxBytes and what is around it, so that a longer one
	// that does not fit shows as a full buffer.
	br := bufio.NewReaderSize(r, len(bom)+maxBytes+len("\r\n"))
	mark := bom
	for number := uint64(1); ; number++ {
		data, readErr := readLine(br, mark, maxBytes)
		mark = nil
		ln := line{number: number, data: data}
		switch {
		case errors.Is(readErr, bufio.ErrBufferFull):
			ln.err = fmt.Errorf("%w: longer than MAX_EVENT_BYTES, %d", publisher.ErrInvalid, maxBytes)
			readErr = nil
		case readErr != nil && !errors.Is(readErr, io.EOF):
			ln.err = readErr
		}
		if len(data) > 0 || ln.err != nil {
			select {
			case lines <- ln:
			case <-ctx.Done():
				return
			}
		}
		if readErr != nil {
			return
		}
	}
}

// readLine returns a copy of the next line without mark before it, its end and
// the white space around it. The rest of a line longer than maxBytes is read past and the
// error is bufio.ErrBufferFull.
func readLine(br *bufio.Reader, mark []byte, maxBytes int) ([]byte, error) {
	data, err := br.ReadSlice('\n')
	data = bytes.TrimPrefix(data, mark)
	tooLong := errors.Is(err, bufio.ErrBufferFull) || len(bytes.TrimRight(data, "\r\n")) > maxBytes
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = br.ReadSlice('\n')
	}
	if tooLong {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, bufio.ErrBufferFull
		}
		return nil, err
	}
	return bytes.Clone(bytes.TrimSpace(data)), err
}
