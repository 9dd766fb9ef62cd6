package reader

import (
	"errors"
	"fmt"
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// The decisions of a reader, as functions of what it knows.

// timing is how long a reader waits before it gives its consumer up.
type timing struct {
	// beat is the idle heartbeat asked of the consumer; without a sign of life
	// for silentBeats of them the reader restarts.
	beat time.Duration
	// watchEvery is how often the watchdog asks for the log's state.
	watchEvery time.Duration
	// stuckAfter is how long the reader may lag without moving, and how long a
	// log that ends before its position is given to catch up with itself.
	stuckAfter time.Duration
}

// usual is the timing outside of tests.
var usual = timing{beat: time.Second, watchEvery: 2 * time.Second, stuckAfter: 5 * time.Second}

const silentBeats = 3

var errRecreated = errors.New("the log was recreated")

// start is where a reader begins that has read nothing yet: at the newest
// ringEvents events.
func start(now eventlog.State, ringEvents int) event.ID {
	at := now.Oldest()
	if n := uint64(ringEvents); now.LastSeq > at.Seq+n {
		at.Seq = now.LastSeq - n
	}
	return at
}

// course is how a reader goes on after it has asked for the log's state.
type course struct {
	reason  wire.Reason // of the gap that is told first; "" for none
	at      event.ID    // where it goes on
	section bool        // the gap begins a new section of the ring
}

// settle compares the log with the reader's position. shortFor is for how long
// the log has ended before that position. A new leader may lag for a moment: until
// stuckAfter that is an error, and the reader tries again.
func (t timing) settle(now eventlog.State, pos event.ID, shortFor time.Duration) (course, error) {
	switch {
	case now.Epoch != pos.Epoch:
		return course{wire.ReasonRecreated, now.Oldest(), true}, nil
	case now.LastSeq < pos.Seq && shortFor < t.stuckAfter:
		return course{}, errShort(now, pos)
	case now.LastSeq < pos.Seq:
		return course{wire.ReasonAhead, now.Position(now.LastSeq), true}, nil
	case now.Oldest().Seq > pos.Seq:
		return course{wire.ReasonExpired, now.Oldest(), false}, nil
	}
	return course{at: pos}, nil
}

func errShort(now eventlog.State, pos event.ID) error {
	return fmt.Errorf("the log ends at sequence %d, before the feed's position %d", now.LastSeq, pos.Seq)
}

// watch is what the watchdog says of a reader whose position has not moved for
// stillFor although the log goes on after it: nil, or why the reader must
// restart.
func (t timing) watch(now eventlog.State, pos event.ID, stillFor time.Duration) error {
	switch {
	case now.Epoch != pos.Epoch:
		return errRecreated
	case now.LastSeq < pos.Seq:
		return errShort(now, pos)
	case stillFor > t.stuckAfter:
		return fmt.Errorf("the feed is stuck at sequence %d of %d", pos.Seq, now.LastSeq)
	}
	return nil
}

// progress is where a reader was when it last moved, or had nothing to read.
type progress struct {
	pos event.ID
	at  time.Time
}

// stillFor is for how long, at t, the reader has not moved from pos although the
// log goes on after it.
func (p *progress) stillFor(now eventlog.State, pos event.ID, t time.Time) time.Duration {
	if pos != p.pos || now.LastSeq == pos.Seq {
		p.pos, p.at = pos, t
	}
	return t.Sub(p.at)
}

// silent says that a consumer of which nothing was heard for quiet must be given
// up.
func (t timing) silent(quiet time.Duration) error {
	if quiet <= silentBeats*t.beat {
		return nil
	}
	return fmt.Errorf("nothing heard from the consumer for %s", quiet.Round(time.Millisecond))
}

// errDoubt is why a reader goes on with a consumer at the log's leader.
var errDoubt = errors.New("only the log's leader knows whether events were lost")

// pass is how a reader goes on whose consumer has made a jump. now is the log's
// state as of after that.
func pass(now eventlog.State, j eventlog.Jump) (course, error) {
	if now.Epoch != j.Pos.Epoch {
		return course{}, errRecreated
	}
	switch now.Judge(j) {
	case eventlog.Doubtful:
		return course{}, errDoubt
	case eventlog.Lost:
		return course{reason: wire.ReasonExpired, at: event.ID{Epoch: j.Pos.Epoch, Seq: j.Next - 1}}, nil
	}
	return course{at: j.Pos}, nil
}

// evidence is what is known of the log. It holds for messages that had arrived
// before it was asked for.
type evidence struct {
	now      eventlog.State
	messages int // that it still holds for
}

// spend is called for each message that is handled.
func (e *evidence) spend() {
	if e.messages > 0 {
		e.messages--
	}
}

// clears reports whether a jump is known to be harmless. When it is not, the log
// is to be asked.
func (e *evidence) clears(j eventlog.Jump) bool {
	return e.messages > 0 && e.now.Epoch == j.Pos.Epoch && e.now.Judge(j) == eventlog.Harmless
}
