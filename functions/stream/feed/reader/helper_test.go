package reader_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/reader"
	"sluice/functions/stream/feed/ring"
	"sluice/functions/stream/feed/wire"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestMain(m *testing.M) { os.Exit(natstest.RunAll(m)) }

// rig is a reader of a log, and what it has told.
type rig struct {
	*feedtest.Log
	t      *testing.T
	line   *feedtest.Line
	ring   *ring.Ring
	reader *reader.Reader
	why    restarts
}

// restarts is a logger's handler that keeps why a reader restarted, and the
// examples of events without a topic that it warned of.
type restarts struct {
	slog.Handler
	reasons  chan error
	examples chan string
}

func (h restarts) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			h.reasons <- err
		}
		if a.Key == "example" {
			h.examples <- a.Value.String()
		}
		return true
	})
	return h.Handler.Handle(ctx, r)
}

// run starts an impatient reader; see runAs.
func run(t *testing.T, log *feedtest.Log, subjects ...string) *rig {
	t.Helper()
	return runAs(t, reader.NewImpatient, log, subjects...)
}

// runAs starts a reader of the subjects that ends with the test, and returns
// when it has loaded the ring. No subjects are all.
func runAs(t *testing.T, newReader func(reader.Config) *reader.Reader, log *feedtest.Log, subjects ...string) *rig {
	t.Helper()
	r := &rig{
		Log: log, t: t, line: feedtest.NewLine(t, log.Server), ring: ring.New(1<<16, 1<<30),
		why: restarts{slog.NewTextHandler(t.Output(), nil), make(chan error, 1000), make(chan string, 1000)},
	}
	if len(subjects) == 0 {
		subjects = []string{event.AllSubjects}
	}
	l, err := eventlog.New(r.line.Conn, "", event.DefaultStream, "test")
	require.NoError(t, err)
	r.reader = newReader(reader.Config{
		Log: l, Ring: r.ring, RingEvents: 1 << 16, Wire: feedtest.Wire{}, Subjects: subjects, Moved: func() {},
		Metrics: metrics.New(prometheus.NewRegistry()), Logger: slog.New(r.why),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.reader.Run(ctx) })
	t.Cleanup(func() {
		r.line.In(nil)
		r.line.Out(nil)
		cancel()
		natstest.Await(t, running.Wait)
	})
	natstest.Receive(t, r.reader.Loaded())
	return r
}

// consumer is the name of the reader's consumer.
func (r *rig) consumer() string {
	r.t.Helper()
	return r.AwaitConsumers(1)[0].Name
}

// frames are all that the ring holds.
func (r *rig) frames() (all []wire.Frame) {
	next, _ := r.ring.Tail()
	for from := uint64(0); from < next; {
		all, from, _, _ = r.ring.Read(all, from, next, 1<<30, nil)
	}
	return all
}

// awaitPosition waits until the reader has come to a sequence.
func (r *rig) awaitPosition(seq uint64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.ring.Position() == r.ID(seq) },
		natstest.Patience, time.Millisecond, "the reader does not come to %d", seq)
}

// assertTold wants exactly that when the reader has come to a sequence.
func (r *rig) assertTold(seq uint64, want ...string) {
	r.t.Helper()
	r.awaitPosition(seq)
	assert.Equal(r.t, want, feedtest.Told(r.frames()))
}

// awaitRestart waits for a restart whose reason has that in it.
func (r *rig) awaitRestart(text string) {
	r.t.Helper()
	for {
		if err := natstest.Receive(r.t, r.why.reasons); strings.Contains(err.Error(), text) {
			return
		}
	}
}

// pause pauses the reader's consumer: it shows signs of life and delivers
// nothing.
func (r *rig) pause() (resume func()) {
	r.t.Helper()
	ctx, name := natstest.Context(r.t), r.consumer()
	p, err := r.JS.PauseConsumer(ctx, event.DefaultStream, name, time.Now().Add(time.Hour))
	require.NoError(r.t, err)
	require.True(r.t, p.Paused)
	return func() {
		// The reader may have restarted by now.
		if _, err := r.JS.ResumeConsumer(ctx, event.DefaultStream, name); err != nil {
			require.ErrorIs(r.t, err, jetstream.ErrConsumerNotFound)
		}
	}
}

// silence loses all that the reader's present consumer sends.
func (r *rig) silence() (mend func()) {
	r.t.Helper()
	c := r.AwaitConsumers(1)[0]
	r.line.In(func(p feedtest.Packet) bool {
		return p.Subject != c.Config.DeliverSubject && !strings.Contains(p.Reply, c.Name)
	})
	return func() {}
}

func isEvent(p feedtest.Packet) bool { return strings.HasPrefix(p.Subject, "events.") }
