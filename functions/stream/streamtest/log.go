package streamtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// Stored is one event as JetStream has stored it.
type Stored struct {
	Seq   uint64
	Topic string
	Data  string
}

// Log publishes numbered events to a stream and remembers them.
type Log struct {
	tb     testing.TB
	JS     jetstream.JetStream
	Stream string
	Epoch  int64
	// Pad is how many bytes each payload has at least.
	Pad    int
	Events []Stored
	number int
}

// NewLog creates the stream of the default name if there is none, with cfg's
// changes. js is the test's own connection.
func NewLog(tb testing.TB, js jetstream.JetStream, change ...func(*jetstream.StreamConfig)) *Log {
	tb.Helper()
	l := &Log{tb: tb, JS: js, Stream: event.DefaultStream}
	l.Create(change...)
	return l
}

// Create makes the stream, which must be gone, and forgets the events of an
// earlier one.
func (l *Log) Create(change ...func(*jetstream.StreamConfig)) {
	l.tb.Helper()
	l.Epoch = feedtest.CreateStream(l.tb, l.JS, change...)
	l.Events = nil
}

// Delete removes the stream.
func (l *Log) Delete() {
	l.tb.Helper()
	require.NoError(l.tb, l.JS.DeleteStream(l.tb.Context(), l.Stream))
}

// ID is the event id of a sequence.
func (l *Log) ID(seq uint64) string { return event.ID{Epoch: l.Epoch, Seq: seq}.String() }

// Last is the newest event.
func (l *Log) Last() Stored { return l.Events[len(l.Events)-1] }

// Publish stores one event on each of the topics and returns the last one.
func (l *Log) Publish(topics ...string) Stored {
	l.tb.Helper()
	for _, topic := range topics {
		e := Stored{Topic: topic, Data: l.payload()}
		ack, err := l.JS.PublishMsg(l.tb.Context(), e.message())
		require.NoError(l.tb, err)
		e.Seq = ack.Sequence
		l.Events = append(l.Events, e)
	}
	return l.Last()
}

// PublishN stores n events as fast as JetStream takes them, on the topics in
// turn.
func (l *Log) PublishN(n int, topics ...string) {
	l.tb.Helper()
	const window = 256
	acks := make([]jetstream.PubAckFuture, 0, n)
	from := len(l.Events)
	settle := func(i int) {
		select {
		case ack := <-acks[i].Ok():
			l.Events[from+i].Seq = ack.Sequence
		case err := <-acks[i].Err():
			require.NoError(l.tb, err)
		case <-time.After(natstest.Patience):
			require.FailNow(l.tb, "an acknowledgement is missing")
		}
	}
	for i := range n {
		e := Stored{Topic: topics[i%len(topics)], Data: l.payload()}
		ack, err := l.JS.PublishMsgAsync(e.message())
		require.NoError(l.tb, err)
		acks, l.Events = append(acks, ack), append(l.Events, e)
		if i >= window {
			settle(i - window)
		}
	}
	for i := max(0, n-window); i < n; i++ {
		settle(i)
	}
}

func (e Stored) message() *nats.Msg {
	return &nats.Msg{Subject: event.Subject(e.Topic), Data: []byte(e.Data)}
}

func (l *Log) payload() string {
	l.number++
	text := fmt.Sprintf(`{"n":%d`, l.number)
	if room := l.Pad - len(text) - len(`,"pad":""}`); room > 0 {
		text += `,"pad":"` + strings.Repeat("x", room) + `"`
	}
	return text + "}"
}

// Match are the stored events of the topics after a sequence, in their order.
func (l *Log) Match(after uint64, filters ...string) []Stored {
	return Match(l.Events, after, filters...)
}

// Match are the events of the topics after a sequence.
func Match(events []Stored, after uint64, filters ...string) []Stored {
	var all []Stored
	for _, e := range events {
		if e.Seq > after && matches(filters, e.Topic) {
			all = append(all, e)
		}
	}
	return all
}

func matches(filters []string, topic string) bool {
	for _, f := range filters {
		if event.Matches(f, topic) {
			return true
		}
	}
	return len(filters) == 0
}

// ReadStream is what JetStream holds now, read past Sluice.
func ReadStream(tb testing.TB, js jetstream.JetStream) []Stored {
	tb.Helper()
	var all []Stored
	for _, m := range natstest.Messages(tb, js, event.DefaultStream) {
		meta, err := m.Metadata()
		require.NoError(tb, err)
		topic, _ := event.Topic(m.Subject())
		all = append(all, Stored{Seq: meta.Sequence.Stream, Topic: topic, Data: string(m.Data())})
	}
	return all
}
