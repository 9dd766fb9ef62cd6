package world

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// line is one direction of a link, as a toxic that is always on it: toxiproxy
// takes a toxic off at the price of what a reader does not take within 5 s, and
// that would be our own loss. The zero value lets everything through.
type line struct {
	mu     sync.Mutex
	holds  int
	opened chan struct{} // closed when nothing is held any more; nil while nothing is
	delays []delay
	limits []*int // the newest counts; each is a value of its own
}

// delay is by how much what is sent is late.
type delay struct{ by, jitter time.Duration }

const (
	lineType = "line"
	// lineBuffer is how many pieces may be on their way at once while they are
	// late, as in toxiproxy's own latency.
	lineBuffer = 1024
)

// GetBufferSize is part of toxics.BufferedToxic.
func (*line) GetBufferSize() int { return lineBuffer }

// Pipe is part of toxics.Toxic: it is one connection.
func (l *line) Pipe(stub *toxics.ToxicStub) {
	var limit *int // that the connection counts down
	left := 0
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c != nil && !l.wait(stub, c) {
				stub.Output <- c // nothing is lost when another toxic comes
				return
			}
			if c == nil {
				stub.Close()
				return
			}
			if now := l.limit(); now != limit {
				if limit = now; limit != nil {
					left = *limit
				}
			}
			if limit == nil || left > len(c.Data) {
				left -= len(c.Data)
				stub.Output <- c
				continue
			}
			if left > 0 {
				c.Data = c.Data[:left]
				stub.Output <- c
			}
			stub.Close()
			return
		}
	}
}

// wait waits until a piece may go on; false is an interruption.
func (l *line) wait(stub *toxics.ToxicStub, c *stream.StreamChunk) bool {
	if late := time.Until(c.Timestamp.Add(l.delay())); late > 0 {
		select {
		case <-time.After(late):
		case <-stub.Interrupt:
			return false
		}
	}
	for {
		l.mu.Lock()
		opened := l.opened
		l.mu.Unlock()
		if opened == nil {
			return true
		}
		select {
		case <-opened:
		case <-stub.Interrupt:
			return false
		}
	}
}

// delay is how late the next piece is.
func (l *line) delay() (d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.delays {
		d += one.by
		if one.jitter > 0 {
			d += time.Duration(rand.Int64N(int64(2*one.jitter))) - one.jitter
		}
	}
	return d
}

func (l *line) limit() *int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.limits); n > 0 {
		return l.limits[n-1]
	}
	return nil
}

// hold lets nothing through until heal is called.
func (l *line) hold() (heal func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds++; l.holds == 1 {
		l.opened = make(chan struct{})
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.holds--; l.holds == 0 {
			close(l.opened)
			l.opened = nil
		}
	}
}

// late delays everything until heal is called.
func (l *line) late(by, jitter time.Duration) (heal func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := delay{by, jitter}
	l.delays = append(l.delays, one)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, d := range l.delays {
			if d == one {
				l.delays = append(l.delays[:i:i], l.delays[i+1:]...)
				return
			}
		}
	}
}

// cutAfter ends each connection after so many more bytes, until heal is called.
func (l *line) cutAfter(bytes int) (heal func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := &bytes
	l.limits = append(l.limits, one)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, n := range l.limits {
			if n == one {
				l.limits = append(l.limits[:i:i], l.limits[i+1:]...)
				return
			}
		}
	}
}
