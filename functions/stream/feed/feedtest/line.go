package feedtest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/natsembed/natstest"
)

// Packet is one message on a Line.
type Packet struct {
	Subject, Reply string
	Data           []byte // headers, if there are any, and payload; not to be kept
}

// Line is a connection to NATS. It is safe for concurrent use.
type Line struct {
	Conn *nats.Conn

	mu      sync.Mutex
	in, out func(Packet) bool
	sent    []string // subjects
	conns   []net.Conn
}

// NewLine connects to ns.
func NewLine(tb testing.TB, ns *natstest.Server, opts ...nats.Option) *Line {
	tb.Helper()
	l := &Line{}
	l.Conn = ns.Connect(tb, append(opts, nats.SetCustomDialer(l))...)
	return l
}

// Dial is for nats.go.
func (l *Line) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	return &filtered{Conn: c, line: l, from: bufio.NewReader(c)}, nil
}

// In has every message from NATS shown to keep before it arrives; where that is
// false the message is lost. nil keeps all.
func (l *Line) In(keep func(Packet) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in = keep
}

// Out is In for the messages to NATS. While keep runs nothing else is sent.
func (l *Line) Out(keep func(Packet) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = keep
}

// Sent is how many messages with that beginning of their subject were handed to
// the Line, also those that were lost on it.
func (l *Line) Sent(prefix string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, subject := range l.sent {
		if strings.HasPrefix(subject, prefix) {
			n++
		}
	}
	return n
}

// Cut closes the connection without a word, as a fault of the network does.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *Line) keepsIn(p Packet) bool {
	l.mu.Lock()
	keep := l.in
	l.mu.Unlock()
	return keep == nil || keep(p)
}

func (l *Line) keepsOut(p Packet) bool {
	l.mu.Lock()
	l.sent = append(l.sent, p.Subject)
	keep := l.out
	l.mu.Unlock()
	return keep == nil || keep(p)
}

// filtered is a TCP connection that speaks the NATS client protocol. nats.go
// reads in one goroutine and writes under its lock.
type filtered struct {
	net.Conn
	line *Line
	from *bufio.Reader
	read []byte // kept, not yet given to nats.go
	part []byte // written by nats.go, not yet a whole operation
}

func (f *filtered) Read(p []byte) (int, error) {
	for len(f.read) == 0 {
		op, err := f.from.ReadBytes('\n')
		if err != nil {
			return copy(p, op), err
		}
		m, size, ok := parse(op)
		if !ok {
			f.read = op
			break
		}
		m.Data = make([]byte, size)
		if _, err := io.ReadFull(f.from, m.Data); err != nil {
			return 0, err
		}
		if f.line.keepsIn(m) {
			f.read = append(op, m.Data...)
		}
	}
	n := copy(p, f.read)
	f.read = f.read[n:]
	return n, nil
}

func (f *filtered) Write(p []byte) (int, error) {
	f.part = append(f.part, p...)
	for {
		end := bytes.IndexByte(f.part, '\n') + 1
		if end == 0 {
			return len(p), nil
		}
		m, size, ok := parse(f.part[:end])
		if len(f.part) < end+size {
			return len(p), nil
		}
		op := f.part[:end+size]
		m.Data = op[end:]
		f.part = f.part[end+size:]
		if ok && !f.line.keepsOut(m) {
			continue
		}
		// At once: what keep does next may need that it is there.
		if _, err := f.Conn.Write(op); err != nil {
			return 0, err
		}
	}
}

// parse reads the first line of an operation. ok is false when it is not a
// message; else size bytes follow, of which the last two are a line's end.
func parse(line []byte) (p Packet, size int, ok bool) {
	args := strings.Fields(string(line))
	if len(args) == 0 {
		return p, 0, false
	}
	before, sizes := 1, 1 // arguments before the reply, and after it
	switch args[0] {
	case "PUB":
	case "HPUB":
		sizes = 2
	case "MSG":
		before = 2
	case "HMSG":
		before, sizes = 2, 2
	default:
		return p, 0, false
	}
	p.Subject = args[1]
	if len(args) > 1+before+sizes {
		p.Reply = args[1+before]
	}
	size, err := strconv.Atoi(args[len(args)-1])
	return p, size + len("\r\n"), err == nil
}
