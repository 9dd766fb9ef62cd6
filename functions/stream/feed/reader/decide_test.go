package reader_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/reader"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// kept is a log that keeps the sequences from first to last.
func kept(epoch int64, first, last uint64) eventlog.State {
	return eventlog.State{Epoch: epoch, FirstSeq: first, LastSeq: last}
}

func at(epoch int64, seq uint64) event.ID { return event.ID{Epoch: epoch, Seq: seq} }

func TestReaderStarts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		log  eventlog.State
		ring int
		want event.ID
	}{
		{"at the beginning of a log that has never had an event", kept(7, 0, 0), 100, at(7, 0)},
		{"at the end of a log that was purged", kept(7, 31, 30), 100, at(7, 30)},
		{"at the oldest event when the ring takes all", kept(7, 1, 100), 100, at(7, 0)},
		{"at the oldest kept event when the ring takes all of those", kept(7, 51, 150), 100, at(7, 50)},
		{"so that the newest events fill the ring", kept(7, 1, 101), 100, at(7, 1)},
		{"so that the newest kept events fill the ring", kept(7, 500, 1000), 10, at(7, 990)},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, reader.Start(tt.log, tt.ring)) })
	}
}

func TestReaderRestarts(t *testing.T) {
	t.Parallel()
	const patience = 5 * time.Second
	for _, tt := range []struct {
		name     string
		log      eventlog.State
		pos      event.ID
		shortFor time.Duration
		want     reader.Course
		err      string
	}{
		{"where it was, at the end", kept(7, 1, 9), at(7, 9), 0, reader.Course{At: at(7, 9)}, ""},
		{"where it was, before the end", kept(7, 1, 9), at(7, 3), 0, reader.Course{At: at(7, 3)}, ""},
		{"where it was, before the oldest event", kept(7, 4, 9), at(7, 3), 0, reader.Course{At: at(7, 3)}, ""},
		{"after a gap when the next event has expired", kept(7, 5, 9), at(7, 3), 0, reader.Course{Reason: wire.ReasonExpired, At: at(7, 4)}, ""},
		{"after a gap when all events have", kept(7, 10, 9), at(7, 3), 0, reader.Course{Reason: wire.ReasonExpired, At: at(7, 9)}, ""},
		{"where it was, when all it has read has expired", kept(7, 10, 9), at(7, 9), 0, reader.Course{At: at(7, 9)}, ""},
		{"not while the log may still catch up with itself", kept(7, 1, 8), at(7, 9), patience - 1, reader.Course{}, "the log ends at sequence 8, before the feed's position 9"},
		{"in a section of its own at the end of a log that went back", kept(7, 1, 8), at(7, 9), patience, reader.Course{Reason: wire.ReasonAhead, At: at(7, 8), Section: true}, ""},
		{"in a section of its own at the oldest event of another log", kept(8, 1, 20), at(7, 9), 0, reader.Course{Reason: wire.ReasonRecreated, At: at(8, 0), Section: true}, ""},
		{"the same when the other log is shorter", kept(8, 3, 5), at(7, 9), 0, reader.Course{Reason: wire.ReasonRecreated, At: at(8, 2), Section: true}, ""},
		{"the same when the other log is older", kept(6, 0, 0), at(7, 9), 0, reader.Course{Reason: wire.ReasonRecreated, At: at(6, 0), Section: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := reader.Settle(tt.log, tt.pos, tt.shortFor)
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	const patience = 5 * time.Second
	for _, tt := range []struct {
		name     string
		log      eventlog.State
		pos      event.ID
		stillFor time.Duration
		want     string
	}{
		{"lets a reader at the end be", kept(7, 1, 9), at(7, 9), 0, ""},
		{"lets a lagging reader be that has not moved for a while", kept(7, 1, 9), at(7, 3), patience, ""},
		{"ends one that has not moved for longer", kept(7, 1, 9), at(7, 3), patience + 1, "the feed is stuck at sequence 3 of 9"},
		{"ends one whose log is another one", kept(8, 1, 9), at(7, 9), 0, reader.ErrRecreated.Error()},
		{"ends one whose log went back", kept(7, 1, 8), at(7, 9), 0, "the log ends at sequence 8, before the feed's position 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := reader.Watch(tt.log, tt.pos, tt.stillFor); tt.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, tt.want)
			}
		})
	}
}

// TestReaderIsStill from when it last moved, or had nothing to read: a long quiet
// log does not make the next event a late one.
func TestReaderIsStill(t *testing.T) {
	t.Parallel()
	var p reader.Progress
	began := time.Now()
	for _, step := range []struct {
		name      string
		after     time.Duration // since the beginning
		last, pos uint64
		want      time.Duration
	}{
		{"not when it begins", 0, 9, 3, 0},
		{"while it lags at the same place", 2 * time.Second, 9, 3, 2 * time.Second},
		{"not when it has moved", 4 * time.Second, 20, 8, 0},
		{"while it lags there", 5 * time.Second, 20, 8, time.Second},
		{"not at the end", 6 * time.Second, 20, 20, 0},
		{"not after a quiet minute", 66 * time.Second, 20, 20, 0},
		{"since it was last seen at the end", 68 * time.Second, 21, 20, 2 * time.Second},
	} {
		assert.Equal(t, step.want, p.StillFor(kept(7, 1, step.last), at(7, step.pos), began.Add(step.after)), step.name)
	}
}

func TestConsumerIsSilentAfterThreeHeartbeats(t *testing.T) {
	t.Parallel()
	assert.NoError(t, reader.Silent(0))
	assert.NoError(t, reader.Silent(3*time.Second))
	assert.EqualError(t, reader.Silent(3001*time.Millisecond), "nothing heard from the consumer for 3.001s")
}

func TestJump(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		log  eventlog.State
		next uint64
		want reader.Course
		err  error
	}{
		{"over what the log still has is none of ours", kept(7, 4, 99), 20, reader.Course{At: at(7, 3)}, nil},
		{"over what the log has from the beginning on is none of ours", kept(7, 1, 99), 20, reader.Course{At: at(7, 3)}, nil},
		{"over what the log has not any more is a gap", kept(7, 20, 99), 20, reader.Course{Reason: wire.ReasonExpired, At: at(7, 19)}, nil},
		{"over what the log has not any more in part is a gap", kept(7, 5, 99), 20, reader.Course{Reason: wire.ReasonExpired, At: at(7, 19)}, nil},
		{"over what was removed after it was delivered is a gap too", kept(7, 60, 99), 20, reader.Course{Reason: wire.ReasonExpired, At: at(7, 19)}, nil},
		{"in another log says nothing", kept(8, 1, 99), 20, reader.Course{}, reader.ErrRecreated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := reader.Pass(tt.log, at(7, 3), tt.next)
			assert.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		first           uint64
		messages, spent int
		want            bool
	}{
		{"none clears nothing", 0, 0, 0, false},
		{"clears a jump that begins at the log's start", 4, 3, 0, true},
		{"clears a jump that begins after the log's start", 1, 3, 0, true},
		{"clears no jump that begins before the log's start", 5, 3, 0, false},
		{"holds for messages that had arrived", 4, 3, 1, true},
		{"does not hold for later messages", 4, 3, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := reader.NewEvidence(tt.first, tt.messages)
			for range tt.spent {
				e.Clears(at(7, 3))
			}
			assert.Equal(t, tt.want, e.Clears(at(7, 3)))
		})
	}
}

// TestReaderTellsEveryEventOrItsLoss has a reader decide its way through random
// histories of a log of which it wants every third event.
func TestReaderTellsEveryEventOrItsLoss(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{epoch: 1, first: 1}
		w.pos = reader.Start(w.state(), 10)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { w.last += rapid.Uint64Range(1, 9).Draw(t, "n") },
			"expire":  func(t *rapid.T) { w.first = rapid.Uint64Range(w.first, w.last+1).Draw(t, "first") },
			"deliver": w.deliver,
			"take":    w.take,
			"restart": w.restart,
			"recreate": func(t *rapid.T) {
				w.epoch, w.first, w.last = w.epoch+1, 1, rapid.Uint64Range(0, 9).Draw(t, "last")
				w.waiting = nil
			},
			"": w.check,
		})
	})
}

// world is a log, what its consumer has delivered, and a reader.
type world struct {
	epoch       int64
	first, last uint64
	sent        uint64   // up to where the consumer has looked
	waiting     []uint64 // delivered, not yet taken

	pos      event.ID
	evidence *reader.Evidence
	told     map[uint64]bool // events of this log that were told or told as lost
	began    uint64          // where the reader began with this log
}

func wanted(seq uint64) bool { return seq%3 == 0 }

func (w *world) state() eventlog.State { return kept(w.epoch, w.first, w.last) }

func (w *world) deliver(*rapid.T) {
	if w.epoch != w.pos.Epoch {
		return
	}
	for w.sent = max(w.sent, w.first-1); w.sent < w.last; {
		if w.sent++; wanted(w.sent) {
			w.waiting = append(w.waiting, w.sent)
			return
		}
	}
}

func (w *world) take(t *rapid.T) {
	if w.epoch != w.pos.Epoch || len(w.waiting) == 0 {
		return
	}
	next := w.waiting[0]
	w.waiting = w.waiting[1:]
	clear := w.evidence != nil && w.evidence.Clears(w.pos)
	if next != w.pos.Seq+1 && !clear {
		way, err := reader.Pass(w.state(), w.pos, next)
		require.NoError(t, err)
		w.evidence = reader.NewEvidence(w.first, len(w.waiting))
		w.gap(way)
	}
	require.Greater(t, next, w.pos.Seq)
	require.False(t, w.tell(next), "told before")
	w.pos.Seq = next
}

func (w *world) restart(t *rapid.T) {
	way, err := reader.Settle(w.state(), w.pos, time.Minute)
	require.NoError(t, err)
	if way.Section {
		w.told, w.began = nil, way.At.Seq
	}
	w.gap(way)
	w.pos, w.sent, w.waiting, w.evidence = way.At, way.At.Seq, nil, nil
}

func (w *world) gap(way reader.Course) {
	if way.Reason != wire.ReasonExpired {
		return
	}
	for seq := w.pos.Seq + 1; seq <= way.At.Seq; seq++ {
		w.tell(seq)
	}
	w.pos = way.At
}

func (w *world) tell(seq uint64) (before bool) {
	if w.told == nil {
		w.told = map[uint64]bool{}
	}
	before = w.told[seq]
	w.told[seq] = true
	return before
}

func (w *world) check(t *rapid.T) {
	for seq := w.began + 1; seq <= w.pos.Seq; seq++ {
		if wanted(seq) {
			require.True(t, w.told[seq], "%d of up to %d was passed over without a word", seq, w.pos.Seq)
		}
	}
}
