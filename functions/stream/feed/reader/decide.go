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
// the log has ended before that position by now: a new leader may be lagging for
// a moment.
func settle(now eventlog.State, pos event.ID, shortFor time.Duration) (course, error) {
	switch {
	case now.Epoch != pos.Epoch:
		return course{wire.ReasonRecreated, now.Oldest(), true}, nil
	case now.LastSeq < pos.Seq && shortFor < stuckAfter:
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

// watch is the watchdog's word on a reader whose position has not moved for
// stillFor although the log is ahead of it: nil, or why it must restart.
func watch(now eventlog.State, pos event.ID, stillFor time.Duration) error {
	switch {
	case now.Epoch != pos.Epoch:
		return errRecreated
	case now.LastSeq < pos.Seq:
		return errShort(now, pos)
	case stillFor > stuckAfter:
		return fmt.Errorf("the feed is stuck at sequence %d of %d", pos.Seq, now.LastSeq)
	}
	return nil
}

// evidence is what is known of the log's first sequence. It holds for messages
// that had arrived before it was asked for.
type evidence struct {
	first    uint64
	messages int // that it still holds for
}

// spend is called for each message that is handled.
func (e *evidence) spend() {
	if e.messages > 0 {
		e.messages--
	}
}

// clears reports whether nothing of the log after pos was removed unread. When
// it does not, the log is to be asked.
func (e *evidence) clears(pos event.ID) bool { return e.messages > 0 && e.first <= pos.Seq+1 }
