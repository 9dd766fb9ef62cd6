package replay_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/replay"
	"sluice/functions/stream/feed/turns"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestMain(m *testing.M) { os.Exit(natstest.RunAll(m)) }

// rig is the replays of a process.
type rig struct {
	*feedtest.Log
	t       *testing.T
	line    *feedtest.Line
	replays *replay.Replays
}

func newRig(t *testing.T, change ...func(*replay.Config)) *rig {
	t.Helper()
	return newRigOn(t, feedtest.NewLog(t), change...)
}

func newRigOn(t *testing.T, log *feedtest.Log, change ...func(*replay.Config)) *rig {
	t.Helper()
	r := &rig{Log: log, t: t}
	r.line = feedtest.NewLine(t, r.Server)
	l, err := eventlog.New(r.line.Conn, "", event.DefaultStream, "test")
	require.NoError(t, err)
	cfg := replay.Config{
		Log: l, Wire: feedtest.Wire{}, Concurrency: 2, Metrics: metrics.New(prometheus.NewRegistry()),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Turns: &turns.Turns{},
	}
	for _, c := range change {
		c(&cfg)
	}
	r.replays = replay.New(cfg)
	return r
}

// pure are replays that never ask NATS.
func pure(change ...func(*replay.Config)) *replay.Replays {
	cfg := replay.Config{
		Wire: feedtest.Wire{}, Concurrency: 1, Metrics: metrics.New(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
		Turns: &turns.Turns{},
	}
	for _, c := range change {
		c(&cfg)
	}
	return replay.New(cfg)
}

func set(t require.TestingT, filters ...string) *topics.Set {
	s, err := topics.New(filters...)
	require.NoError(t, err)
	return s
}

// reading is a replay and what it has told by now.
type reading struct {
	r *rig
	*replay.Replay
	pos    event.ID
	told   []string
	waited int // chunks that say there is nothing yet
}

// open begins a replay after a sequence that is closed with the test.
func (r *rig) open(after uint64, filters ...string) *reading {
	r.t.Helper()
	rd := &reading{r: r, Replay: r.replays.Open(set(r.t, filters...)), pos: r.ID(after)}
	r.t.Cleanup(rd.Close)
	return rd
}

// next takes one chunk.
func (rd *reading) next() wire.Chunk {
	rd.r.t.Helper()
	c, err := rd.Next(natstest.Context(rd.r.t), rd.pos)
	require.NoError(rd.r.t, err)
	if c.Waited {
		rd.waited++
		require.Equal(rd.r.t, wire.Chunk{UpTo: rd.pos, Waited: true}, c)
	}
	rd.told = append(rd.told, feedtest.Told(c.Frames)...)
	rd.pos = c.UpTo
	return c
}

// readTo takes chunks until a position.
func (rd *reading) readTo(id event.ID) {
	rd.r.t.Helper()
	for ctx := natstest.Context(rd.r.t); rd.pos != id; rd.next() {
		require.NoError(rd.r.t, ctx.Err(), "at %s, want %s", rd.pos, id)
	}
}

// assertTold wants exactly that.
func (rd *reading) assertTold(want ...string) {
	rd.r.t.Helper()
	assert.Equal(rd.r.t, want, rd.told)
}
