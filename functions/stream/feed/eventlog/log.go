package eventlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// requestTimeout bounds one request to the JetStream API.
const requestTimeout = 4 * time.Second

// ErrDisconnected is what a log gives whose connection to NATS is down.
var ErrDisconnected = nats.ErrDisconnected

// State is what STREAM.INFO said. Only the stream's leader answers it.
type State struct {
	Asked     time.Time // when the request was sent
	Epoch     int64
	FirstSeq  uint64
	LastSeq   uint64
	FirstTime time.Time // when the oldest kept event was stored
}

// Position is the position of a sequence in this log.
func (s State) Position(seq uint64) event.ID { return event.ID{Epoch: s.Epoch, Seq: seq} }

// Oldest is the position before the oldest kept event.
func (s State) Oldest() event.ID {
	if s.FirstSeq == 0 {
		return s.Position(s.LastSeq)
	}
	return s.Position(s.FirstSeq - 1)
}

// Log is the JetStream stream.
type Log struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	stream   string
	filters  []string // topic filters that are read
	instance string
	serial   atomic.Uint64 // of consumer names

	mu     sync.Mutex
	last   State
	flight *flight
}

// flight is one STREAM.INFO under way, shared by all who ask meanwhile.
type flight struct {
	asked time.Time
	done  chan struct{}
	state State
	err   error
}

// New does not ask NATS for anything. instance is one NATS token; consumers
// are named after it. filters are the topics that are read, none is everything:
// a stream that cannot give them gives event.ErrUnfit in place of its state.
func New(conn *nats.Conn, stream, instance string, filters ...string) (*Log, error) {
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		return nil, fmt.Errorf("JetStream context: %w", err)
	}
	return &Log{conn: conn, js: js, stream: stream, instance: instance, filters: filters}, nil
}

// Stream is the JetStream stream's name.
func (l *Log) Stream() string { return l.stream }

// Connected reports whether the connection to NATS is up.
func (l *Log) Connected() bool { return l.conn.IsConnected() }

// State is the stream's state as of notBefore or later. However many ask, one
// request is under way at a time, and one that was sent at notBefore or later
// serves everyone.
func (l *Log) State(ctx context.Context, notBefore time.Time) (State, error) {
	for {
		l.mu.Lock()
		if known := l.last.Asked; !known.IsZero() && !known.Before(notBefore) {
			defer l.mu.Unlock()
			return l.last, nil
		}
		f := l.flight
		if f == nil {
			f = &flight{asked: time.Now(), done: make(chan struct{})}
			l.flight = f
			l.mu.Unlock()
			l.ask(ctx, f)
			return f.state, f.err
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return State{}, context.Cause(ctx)
		case <-f.done:
		}
		if f.err != nil && !f.asked.Before(notBefore) {
			return State{}, f.err
		}
	}
}

// Known is the last state that was asked for; it never blocks on NATS.
func (l *Log) Known() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *Log) ask(ctx context.Context, f *flight) {
	// Others wait for this answer too, so the one who asked cannot take it back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	f.state, f.err = l.request(ctx)
	f.state.Asked = f.asked
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.err == nil {
		l.last = f.state
	}
	l.flight = nil
	close(f.done)
}

func (l *Log) request(ctx context.Context) (State, error) {
	s, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return State{}, fmt.Errorf("JetStream stream %s: %w", l.stream, err)
	}
	info := s.CachedInfo()
	if err := event.CheckReadable(&info.Config, l.filters...); err != nil {
		return State{}, err
	}
	epoch, err := event.Epoch(info)
	if err != nil {
		return State{}, err
	}
	return State{
		Epoch: epoch, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, FirstTime: info.State.FirstTime,
	}, nil
}
