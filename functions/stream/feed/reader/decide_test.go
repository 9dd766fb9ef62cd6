package reader_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		{"of a server that may have removed more is doubtful", eventlog.State{Epoch: 7, FirstSeq: 1, LastSeq: 99, Replicas: 3, Leader: "b", MaxAge: time.Hour, Time: time.Unix(1e9, 0)}, 20, reader.Course{}, reader.ErrDoubt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := reader.Pass(tt.log, eventlog.Jump{Pos: at(7, 3), Next: tt.next})
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
			e := reader.NewEvidence(kept(7, tt.first, 99), tt.messages)
			jump := eventlog.Jump{Pos: at(7, 3), Next: 20}
			for range tt.spent {
				e.Clears(jump)
			}
			assert.Equal(t, tt.want, e.Clears(jump))
			jump.Pos.Epoch++
			assert.False(t, e.Clears(jump), "it is of another log")
		})
	}
}
