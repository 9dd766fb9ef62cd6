package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// requestTimeout bounds one request to the JetStream API.
const requestTimeout = 4 * time.Second

// headerLastStream and headerLastConsumer are what a push consumer's idle
// heartbeat carries: every event up to that stream sequence that the filter
// matches has been sent, and that many were sent.
const (
	headerLastStream   = "Nats-Last-Stream"
	headerLastConsumer = "Nats-Last-Consumer"
)

// state is what STREAM.INFO said. Only the stream's leader answers it.
type state struct {
	asked     time.Time // when the request was sent
	epoch     int64
	firstSeq  uint64
	lastSeq   uint64
	firstTime time.Time
}

func (s state) position(seq uint64) event.ID { return event.ID{Epoch: s.epoch, Seq: seq} }

// oldest is the position before the oldest kept event.
func (s state) oldest() event.ID {
	if s.firstSeq == 0 {
		return s.position(s.lastSeq)
	}
	return s.position(s.firstSeq - 1)
}

// log is the JetStream stream as the feed uses it.
type log struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	stream   string
	instance string
	serial   atomic.Uint64 // of consumer names

	mu     sync.Mutex
	last   state
	flight *flight
}

// flight is one STREAM.INFO under way, shared by all who ask meanwhile.
type flight struct {
	asked time.Time
	done  chan struct{}
	state state
	err   error
}

func newLog(cfg *Config) (*log, error) {
	js, err := jetstream.New(cfg.Conn, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		return nil, fmt.Errorf("JetStream context: %w", err)
	}
	return &log{conn: cfg.Conn, js: js, stream: cfg.Stream, instance: cfg.Instance}, nil
}

// info is the stream's state as of notBefore or later. However many ask, one
// request is under way at a time, and one that was sent at notBefore or later
// serves everyone.
func (l *log) info(ctx context.Context, notBefore time.Time) (state, error) {
	for {
		l.mu.Lock()
		if !l.last.asked.Before(notBefore) {
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
			return state{}, context.Cause(ctx)
		case <-f.done:
		}
		if f.err != nil && !f.asked.Before(notBefore) {
			return state{}, f.err
		}
	}
}

// known is the last state that was asked for.
func (l *log) known() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *log) ask(ctx context.Context, f *flight) {
	// Others wait for this answer too, so the one who asked cannot take it back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	f.state, f.err = l.request(ctx)
	f.state.asked = f.asked
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.err == nil {
		l.last = f.state
	}
	l.flight = nil
	close(f.done)
}

func (l *log) request(ctx context.Context) (state, error) {
	s, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return state{}, fmt.Errorf("JetStream stream %s: %w", l.stream, err)
	}
	info := s.CachedInfo()
	epoch, err := event.Epoch(info)
	if err != nil {
		return state{}, err
	}
	return state{
		epoch: epoch, firstSeq: info.State.FirstSeq, lastSeq: info.State.LastSeq, firstTime: info.State.FirstTime,
	}, nil
}

// name is a new consumer's name, which says whose and what for.
func (l *log) name(purpose string) string {
	return "sluice_" + l.instance + "_" + purpose + "_" + strconv.FormatUint(l.serial.Add(1), 36)
}

// consumerConfig is what all our consumers share: nothing is acknowledged,
// nothing is kept on disk, and the server forgets them 10 s after we do.
func (l *log) consumerConfig(purpose string, subjects []string, after uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:              l.name(purpose),
		Description:       "Sluice edge " + l.instance,
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		FilterSubjects:    subjects,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: 10 * time.Second,
	}
}

// creation is the context of a consumer's creation. It does not end with the
// client: a consumer of which nothing is known cannot be deleted.
func creation(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
}

// forget deletes a consumer; if that fails the server does it later.
func (l *log) forget(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.conn.IsConnected() {
		_ = l.js.DeleteConsumer(ctx, l.stream, name)
	}
}

// push opens a push consumer with heartbeats and flow control on ch.
func (l *log) push(ctx context.Context, purpose string, subjects []string, after uint64, beat time.Duration, ch chan *nats.Msg) (name string, stop func(), err error) {
	inbox := l.conn.NewInbox()
	sub, err := l.conn.ChanSubscribe(inbox, ch)
	if err != nil {
		return "", nil, fmt.Errorf("subscribe: %w", err)
	}
	cfg := l.consumerConfig(purpose, subjects, after)
	cfg.DeliverSubject, cfg.IdleHeartbeat, cfg.FlowControl = inbox, beat, true
	stop = func() {
		_ = sub.Unsubscribe()
		l.forget(cfg.Name)
	}
	ctx, cancel := creation(ctx)
	defer cancel()
	if _, err := l.js.CreatePushConsumer(ctx, l.stream, cfg); err != nil {
		stop()
		return "", nil, fmt.Errorf("create the consumer %s: %w", cfg.Name, err)
	}
	return cfg.Name, stop, nil
}

// isEvent reports whether m is of the log. What a consumer itself says comes on
// our inbox, an event on its own subject; headers tell nothing, because a
// publisher can set a Status too.
func isEvent(m *nats.Msg) bool { return m.Sub == nil || m.Subject != m.Sub.Subject }

// control handles a consumer's message that is no event: it answers a request
// for flow control, and returns what an idle heartbeat says. is reports
// whether m was one.
func (l *log) control(m *nats.Msg) (sent, scanned uint64, is bool) {
	if isEvent(m) {
		return 0, 0, false
	}
	if m.Reply != "" {
		_ = m.Respond(nil)
	}
	if stalled := m.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		_ = l.conn.Publish(stalled, nil)
	}
	sent, _ = strconv.ParseUint(m.Header.Get(headerLastConsumer), 10, 64)
	scanned, _ = strconv.ParseUint(m.Header.Get(headerLastStream), 10, 64)
	return sent, scanned, true
}

// scanned proves how far nothing is left: the position up to which the
// consumer's own server finds no event of the subjects behind after. ok is
// false when there is one. It takes about a heartbeat, 100 ms.
func (l *log) scanned(ctx context.Context, subjects []string, after event.ID) (pos event.ID, ok bool, err error) {
	ch := make(chan *nats.Msg, 64)
	_, stop, err := l.push(ctx, "scan", subjects, after.Seq, 100*time.Millisecond, ch)
	if err != nil {
		return after, false, err
	}
	defer stop()
	timeout := time.NewTimer(requestTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-ctx.Done():
			return after, false, context.Cause(ctx)
		case <-timeout.C:
			return after, false, errors.New("no heartbeat from the consumer")
		case m := <-ch:
			sent, seq, is := l.control(m)
			if !is {
				return after, false, nil
			}
			if m.Reply != "" || sent > 0 {
				continue
			}
			return event.ID{Epoch: after.Epoch, Seq: max(seq, after.Seq)}, true, nil
		}
	}
}

// atTime is the position before the first event stored at t or later.
func (l *log) atTime(ctx context.Context, t time.Time) (seq uint64, err error) {
	ctx, cancel := creation(ctx)
	defer cancel()
	cfg := l.consumerConfig("time", nil, 0)
	cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &t
	c, err := l.js.CreateConsumer(ctx, l.stream, cfg)
	if err != nil {
		return 0, fmt.Errorf("look up the time: %w", err)
	}
	defer l.forget(cfg.Name)
	return c.CachedInfo().Delivered.Stream, nil
}

// pullRequest is CONSUMER.MSG.NEXT (ADR-13): nats.go cannot bound one fetch in
// events and in bytes.
type pullRequest struct {
	Batch    int  `json:"batch"`
	MaxBytes int  `json:"max_bytes,omitempty"`
	NoWait   bool `json:"no_wait"`
}

// errConsumerGone is what a pull gives when the consumer is no more.
var errConsumerGone = errors.New("the replay consumer is gone")

// pull fetches what a consumer has at once, at most batch events and maxBytes
// bytes (0: no bound). more is false when it has nothing left.
func (l *log) pull(ctx context.Context, consumer string, batch, maxBytes int) (msgs []*nats.Msg, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// A channel, because NextMsg takes an event with a Status 503 for an error.
	ch := make(chan *nats.Msg, batch+16) // beside the events, what the consumer says
	sub, err := l.conn.ChanSubscribe(l.conn.NewInbox(), ch)
	if err != nil {
		return nil, false, fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	body, err := json.Marshal(pullRequest{Batch: batch, MaxBytes: maxBytes, NoWait: true})
	if err != nil {
		return nil, false, err
	}
	if err := l.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+l.stream+"."+consumer, sub.Subject, body); err != nil {
		return nil, false, fmt.Errorf("pull: %w", err)
	}
	// A request whose bytes are used up to the last one ends without a word.
	for left := maxBytes; len(msgs) < batch && (left > 0 || maxBytes == 0); {
		var m *nats.Msg
		select {
		case <-ctx.Done():
			return nil, false, fmt.Errorf("pull: %w", context.Cause(ctx))
		case m = <-ch:
		}
		status := m.Header.Get("Status")
		switch {
		case isEvent(m):
			msgs = append(msgs, m)
			left -= m.Size()
		case status == "404" || status == "408":
			return msgs, false, nil
		case status == "409" && strings.Contains(m.Header.Get("Description"), "MaxBytes"):
			if len(msgs) == 0 && maxBytes > 0 {
				return l.pull(ctx, consumer, 1, 0)
			}
			return msgs, true, nil
		case status == "100":
		default:
			return nil, false, fmt.Errorf("%w: %s %s", errConsumerGone, status, m.Header.Get("Description"))
		}
	}
	return msgs, true, nil
}

// create makes a pull consumer.
func (l *log) create(ctx context.Context, cfg jetstream.ConsumerConfig) error {
	ctx, cancel := creation(ctx)
	defer cancel()
	if _, err := l.js.CreateConsumer(ctx, l.stream, cfg); err != nil {
		return fmt.Errorf("create the consumer %s: %w", cfg.Name, err)
	}
	return nil
}
