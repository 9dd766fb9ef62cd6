package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

const (
	// requestTimeout bounds one request to the JetStream API. One that is sent
	// during an election is never answered, so it is better asked again.
	requestTimeout = time.Second
	// patience is how long a question is asked again that nobody answers, with
	// this pause.
	patience   = 4 * time.Second
	askedAgain = 250 * time.Millisecond
	// leaveAfter is how long a server may leave the log's questions unanswered,
	// and so also how often the server is changed at most.
	leaveAfter = 5 * time.Second
)

// ErrDisconnected is what a log gives whose connection to NATS is down.
var ErrDisconnected = nats.ErrDisconnected

// State is what STREAM.INFO said. It comes from the leader of most replicas.
type State struct {
	Asked     time.Time // when the request was sent
	Epoch     int64
	FirstSeq  uint64
	LastSeq   uint64
	FirstTime time.Time // when the oldest kept event was stored
	Time      time.Time // by the leader's clock, when it answered

	Leader   string        // name of the server
	Replicas int           // servers that keep the log
	MaxAge   time.Duration // what is older is removed; 0 keeps it
	// Compacted: it keeps only the newest events of each subject.
	Compacted bool
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
	prefix   string // of JetStream's API
	stream   string
	filters  []string // topic filters that are read
	instance string
	serial   atomic.Uint64 // of consumer names
	unasked  atomic.Int64  // when firstAt had no answer; Unix nanoseconds

	mu     sync.Mutex
	last   State
	flight *flight
	silent silence
	marks  marks
}

// silence is since when, and at which server, the log's questions have had no
// answer. The zero value is none.
type silence struct {
	since  time.Time
	server string // its id
}

// flight is one STREAM.INFO under way, shared by all who ask meanwhile.
type flight struct {
	asked time.Time
	done  chan struct{}
	state State
	err   error
}

// defaultPrefix is JetStream's own.
const defaultPrefix = "$JS.API"

// New does not ask NATS for anything. prefix is as in event.JetStream, instance one NATS token; consumers
// are named after it. filters are the topics that are read, none is everything:
// a stream that cannot give them gives event.ErrUnfit in place of its state.
func New(conn *nats.Conn, prefix, stream, instance string, filters ...string) (*Log, error) {
	js, err := event.JetStream(conn, prefix, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		return nil, fmt.Errorf("JetStream context: %w", err)
	}
	return &Log{conn: conn, js: js, prefix: cmp.Or(strings.TrimSuffix(prefix, "."), defaultPrefix), stream: stream, instance: instance, filters: filters}, nil
}

// Stream is the JetStream stream's name.
func (l *Log) Stream() string { return l.stream }

// Connected reports whether the connection to NATS is up.
func (l *Log) Connected() bool { return l.conn.IsConnected() }

// State is the stream's state as of notBefore or later. However many ask, one
// request is under way at a time, and one that was sent at notBefore or later
// serves everyone. It is asked again for a while when nobody answers, or nobody
// with a quorum.
func (l *Log) State(ctx context.Context, notBefore time.Time) (s State, err error) {
	err = l.repeat(ctx, func() error {
		s, err = l.shared(ctx, notBefore)
		return err
	})
	return s, err
}

// Ask is State as of now for whoever comes again anyway: it is asked once.
func (l *Log) Ask(ctx context.Context) (State, error) { return l.shared(ctx, time.Now()) }

// repeat asks until there is an answer, for patience at most.
func (l *Log) repeat(ctx context.Context, ask func() error) error {
	for end := time.Now().Add(patience); ; {
		err := ask()
		if !Unanswered(err) || ctx.Err() != nil || !l.Connected() || time.Until(end) < askedAgain {
			return err
		}
		pause := time.NewTimer(askedAgain)
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// shared is State with one request at most.
func (l *Log) shared(ctx context.Context, notBefore time.Time) (State, error) {
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
	server := l.conn.ConnectedServerId()
	f.state, f.err = l.request(ctx)
	f.state.Asked = f.asked
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.err == nil {
		l.last = f.state
		l.marks = l.marks.add(f.state)
	}
	switch {
	case !Unanswered(f.err):
		l.silent = silence{}
	case l.silent.server != server || l.silent.since.IsZero():
		l.silent = silence{since: f.asked, server: server}
	}
	l.flight = nil
	close(f.done)
}

// MoveOn leaves the NATS server for another one when it has left the log's
// questions unanswered for leaveAfter and another one is known. It reports the
// name of a server that was left. Connected says when there is another one.
func (l *Log) MoveOn() (left string, ok bool) {
	l.mu.Lock()
	stay := l.silent.since.IsZero() || time.Since(l.silent.since) < leaveAfter || l.silent.server != l.conn.ConnectedServerId()
	if !stay {
		l.silent = silence{}
	}
	l.mu.Unlock()
	if stay || len(l.conn.Servers()) < 2 {
		return "", false
	}
	left = l.conn.ConnectedServerName()
	return left, l.conn.ForceReconnect() == nil
}

func (l *Log) request(ctx context.Context) (State, error) {
	s, err := l.js.Stream(ctx, l.stream)
	if errors.Is(err, context.DeadlineExceeded) {
		return State{}, fmt.Errorf("nobody answers for the JetStream stream %s: %w", l.stream, err)
	}
	if err != nil {
		return State{}, fmt.Errorf("JetStream stream %s: %w", l.stream, err)
	}
	info := s.CachedInfo()
	if err := event.CheckReadable(&info.Config, l.filters...); err != nil {
		return State{}, err
	}
	if err := checkQuorum(info); err != nil {
		return State{}, err
	}
	epoch, err := event.Epoch(info)
	if err != nil {
		return State{}, err
	}
	state := State{
		Epoch: epoch, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, FirstTime: info.State.FirstTime,
		Compacted: event.IsCompacted(&info.Config),
		Time:      info.TimeStamp, Replicas: info.Config.Replicas, MaxAge: info.Config.MaxAge,
	}
	if state.Time.IsZero() {
		state.Time = time.Now() // a server before 2.10 does not say
	}
	if info.Cluster != nil {
		state.Leader = info.Cluster.Leader
	}
	return state, nil
}
