package logging

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// maxWaiting is how many bytes of records wait for who reads the log.
	maxWaiting = 256 << 10
	// flushTimeout is how long the end of a process waits for that reader.
	flushTimeout = time.Second
)

// writer hands records on from a goroutine of its own: a pipe that nobody reads
// blocks who writes to it, and that must not be who serves clients or stops the
// process. What does not find room is dropped and counted.
type writer struct {
	to   io.Writer
	lost func(records int) // tells to of records that were dropped

	mu      sync.Mutex
	more    sync.Cond // of mu: something waits, or the end has come
	waiting []byte
	dropped int
	closed  bool
	done    chan struct{} // closed when all is handed on
}

func newWriter(to io.Writer) *writer {
	w := &writer{to: to, done: make(chan struct{})}
	w.more.L = &w.mu
	return w
}

func (w *writer) start() { go w.run() } // close waits for it

// Write takes one record.
func (w *writer) Write(record []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Behind a record that is dropped no other finds room before that is told.
	if w.dropped > 0 || len(w.waiting)+len(record) > maxWaiting {
		w.dropped++
	} else {
		w.waiting = append(w.waiting, record...)
	}
	w.more.Signal()
	return len(record), nil
}

func (w *writer) run() {
	defer close(w.done)
	for {
		records, dropped, end := w.next()
		// Errors mean that nobody reads any more: then there is no log.
		for line := range bytes.Lines(records) {
			_, _ = w.to.Write(line)
		}
		if dropped > 0 {
			w.lost(dropped)
		}
		if end {
			return
		}
	}
}

// next waits for records. end says that none come after these.
func (w *writer) next() (records []byte, dropped int, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 && w.dropped == 0 && !w.closed {
		w.more.Wait()
	}
	records, dropped = w.waiting, w.dropped
	w.waiting, w.dropped = nil, 0
	return records, dropped, w.closed
}

// close waits until all is handed on, at most flushTimeout. After that the
// goroutine may still hang in a write, which only the end of the process ends.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.more.Signal()
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(flushTimeout):
	}
}

// ErrStuck is Print's when its writer takes nothing.
var ErrStuck = errors.New("who reads the output does not")

// Print writes what a command has to say at its end. It waits no longer than a
// second: who reads it may be there and not read.
func Print(w io.Writer, text string) error {
	written := make(chan error, 1)
	go func() { // if it hangs, the end of the process ends it
		_, err := io.WriteString(w, text)
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-time.After(flushTimeout):
		return ErrStuck
	}
}
