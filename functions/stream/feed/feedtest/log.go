package feedtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// Log is a JetStream stream of events, as a test writes it. Its methods are for
// the test's goroutine.
type Log struct {
	Server *natstest.Server
	JS     jetstream.JetStream // on a connection of the test's own
	Epoch  int64

	tb testing.TB
}

// NewLog starts a server and creates the stream with the changes.
func NewLog(tb testing.TB, change ...func(*jetstream.StreamConfig)) *Log {
	tb.Helper()
	return NewLogOn(tb, natstest.Start(tb), change...)
}

// NewLogOn creates the stream, with the changes, by way of a server.
func NewLogOn(tb testing.TB, ns *natstest.Server, change ...func(*jetstream.StreamConfig)) *Log {
	tb.Helper()
	l := &Log{Server: ns, JS: ns.JetStream(tb), tb: tb}
	l.Create(change...)
	return l
}

// Create makes the stream, which must be gone.
func (l *Log) Create(change ...func(*jetstream.StreamConfig)) {
	l.tb.Helper()
	l.Epoch = CreateStream(l.tb, l.JS, change...)
}

// CreateStream makes the stream of the default name, if there is none, and
// returns its epoch. One that was just deleted may take NATS a moment.
func CreateStream(tb testing.TB, js jetstream.JetStream, change ...func(*jetstream.StreamConfig)) (epoch int64) {
	tb.Helper()
	cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{})
	for _, c := range change {
		c(&cfg)
	}
	natstest.Recreate(tb, func() error {
		info, err := event.EnsureStream(tb.Context(), js, cfg)
		if err == nil {
			epoch, err = event.Epoch(info)
		}
		return err
	})
	return epoch
}

// Recreate deletes the stream and makes another one, with another epoch unless
// the changes say otherwise.
func (l *Log) Recreate(change ...func(*jetstream.StreamConfig)) {
	l.tb.Helper()
	require.NoError(l.tb, l.JS.DeleteStream(natstest.Context(l.tb), event.DefaultStream))
	created := time.UnixMilli(l.Epoch)
	require.Eventually(l.tb, func() bool { return time.Since(created) > time.Millisecond }, natstest.Patience, time.Millisecond)
	l.Create(change...)
}

// ID is the position of a sequence.
func (l *Log) ID(seq uint64) event.ID { return event.ID{Epoch: l.Epoch, Seq: seq} }

// Publish stores n events of the topic with payloads of size bytes, and returns
// when they are stored.
func (l *Log) Publish(n int, topic string, size int) {
	l.tb.Helper()
	l.PublishMsgs(n, &nats.Msg{Subject: event.Subject(topic), Data: []byte(strings.Repeat("x", size))})
}

// PublishMsgs stores m n times.
func (l *Log) PublishMsgs(n int, m *nats.Msg) {
	l.tb.Helper()
	acks := make([]jetstream.PubAckFuture, n)
	for i := range acks {
		copied := nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
		var err error
		acks[i], err = l.JS.PublishMsgAsync(&copied)
		require.NoError(l.tb, err)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			require.NoError(l.tb, err)
		case <-time.After(natstest.Patience):
			require.FailNow(l.tb, "an acknowledgement is missing")
		}
	}
}

// Purge removes the events below a sequence; 0 is all.
func (l *Log) Purge(below uint64) {
	l.tb.Helper()
	ctx := natstest.Context(l.tb)
	s, err := l.JS.Stream(ctx, event.DefaultStream)
	require.NoError(l.tb, err)
	var opts []jetstream.StreamPurgeOpt
	if below > 0 {
		opts = append(opts, jetstream.WithPurgeSequence(below))
	}
	require.NoError(l.tb, s.Purge(ctx, opts...))
}

// Consumers are the stream's consumers, in the order of their names.
func (l *Log) Consumers() []*jetstream.ConsumerInfo {
	l.tb.Helper()
	ctx := natstest.Context(l.tb)
	s, err := l.JS.Stream(ctx, event.DefaultStream)
	require.NoError(l.tb, err)
	list := s.ListConsumers(ctx)
	var all []*jetstream.ConsumerInfo
	for c := range list.Info() {
		all = append(all, c)
	}
	require.NoError(l.tb, list.Err())
	slices.SortFunc(all, func(a, b *jetstream.ConsumerInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// AwaitConsumers waits until there are n consumers and returns them.
func (l *Log) AwaitConsumers(n int) (all []*jetstream.ConsumerInfo) {
	l.tb.Helper()
	require.Eventually(l.tb, func() bool {
		all = l.Consumers()
		return len(all) == n
	}, natstest.Patience, time.Millisecond, "want %d consumers", n)
	return all
}

// Each is what Told says of events of the topic with the sequences from first
// to last.
func Each(topic string, first, last uint64) (all []string) {
	for seq := first; seq <= last; seq++ {
		all = append(all, fmt.Sprintf("%d %s", seq, topic))
	}
	return all
}
