package publisher_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

const pollFor = 5 * time.Millisecond

// connector is a natstest server or cluster.
type connector interface {
	Connect(testing.TB, ...nats.Option) *nats.Conn
}

// start is a publisher on a connection of its own, closed with the test.
func start(t testing.TB, srv connector, change ...func(*publisher.Options)) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(t.Context(), options(t, srv, change...))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func options(t testing.TB, srv connector, change ...func(*publisher.Options)) publisher.Options {
	t.Helper()
	o := publisher.Options{
		Conn:   srv.Connect(t, nats.ReconnectBufSize(-1)),
		Create: true,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

// numbered is the n-th event of a test, on topics that take turns.
func numbered(n int) publisher.Event {
	return publisher.Event{Topic: fmt.Sprintf("metric.m%d", n%3), Data: []byte(strconv.Itoa(n))}
}

// numbers are the payloads from 1 to n.
func numbers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(i + 1)
	}
	return all
}

// stored is the whole log in its order.
func stored(t testing.TB, js jetstream.JetStream) []jetstream.Msg {
	t.Helper()
	return natstest.Messages(t, js, event.DefaultStream)
}

func payloads(msgs []jetstream.Msg) []string {
	var all []string
	for _, m := range msgs {
		all = append(all, string(m.Data()))
	}
	return all
}

// list is a source of fixed events; an error among them is returned once.
type list []any

func (l *list) Next(ctx context.Context) (publisher.Event, error) {
	if len(*l) == 0 {
		return publisher.Event{}, io.EOF
	}
	next := (*l)[0]
	*l = (*l)[1:]
	if err, ok := next.(error); ok {
		return publisher.Event{}, err
	}
	return next.(publisher.Event), ctx.Err()
}

// sourceFunc is a source made of its Next.
type sourceFunc func(context.Context) (publisher.Event, error)

func (f sourceFunc) Next(ctx context.Context) (publisher.Event, error) { return f(ctx) }

// endless gives numbered events until its context ends.
func endless() publisher.Source {
	n := 0
	return sourceFunc(func(ctx context.Context) (publisher.Event, error) {
		n++
		return numbered(n), ctx.Err()
	})
}

func idOf(t *testing.T, js jetstream.JetStream, seq uint64) string {
	t.Helper()
	s, err := js.Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	epoch, err := event.Epoch(s.CachedInfo())
	require.NoError(t, err)
	return event.ID{Epoch: epoch, Seq: seq}.String()
}

func repeat(s string, n int) []byte { return []byte(`"` + strings.Repeat(s, n) + `"`) }
