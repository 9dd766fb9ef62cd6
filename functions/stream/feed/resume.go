package feed

import (
	"context"
	"errors"
	"time"

	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// reachTimeout is how long a resume waits for the feed to come to a cursor
// above its position.
const reachTimeout = 5 * time.Second

// stateAge is how old the log's state may be that a cursor is checked against:
// so all clients of a process ask once in that time.
const stateAge = time.Second

// Start is where a subscription begins. The zero value is live.
type Start struct {
	// Cursor is the id that the client saw last, as it sent it.
	Cursor string
	// Since asks for the events stored at that time or later.
	Since time.Time
	// Oldest asks for all that is kept.
	Oldest bool
	// Last asks for the newest so many events in the ring.
	Last int
}

// Request is what a client asks for.
type Request struct {
	Topics *topics.Set
	Start  Start
	// Wire is the format that the client gets. It knows the frames of the
	// feed's own (Config.Wire).
	Wire wire.Wire
	// Budget bounds what is read of the log; nil does not.
	Budget fanout.Budget
}

// ErrNotReady is what Subscribe gives while the ring has never been loaded.
var ErrNotReady = errors.New("the feed has not read the log yet")

// Subscribe admits a client and settles where it begins. It may wait up to
// 5 s for the feed, and asks NATS only for what is not in memory. The caller
// then calls Serve, Go or Abandon.
func (f *Feed) Subscribe(ctx context.Context, req Request) (*fanout.Subscription, error) {
	if !f.reader.Status().Loaded {
		return nil, ErrNotReady
	}
	s, err := f.fanout.Subscribe(req.Topics, req.Wire)
	if err != nil {
		return nil, err
	}
	pos, open, err := f.resolve(ctx, req)
	if err != nil {
		s.Abandon()
		return nil, err
	}
	s.Limit(req.Budget)
	open.Compacted = f.log.Known().Compacted
	s.Open(pos, open)
	f.countOpening(open)
	return s, nil
}

func (f *Feed) countOpening(open wire.Open) {
	resumed := open.Resumed
	if open.Gap != nil {
		resumed = wire.ResumedGap
		f.metrics.Gap(open.Gap.Reason)
	}
	f.metrics.Resumes.WithLabelValues(resumed).Inc()
}

// resolve is the position at which the client begins, and what it is told.
func (f *Feed) resolve(ctx context.Context, req Request) (event.ID, wire.Open, error) {
	switch start := req.Start; {
	case start.Cursor != "":
		id, err := event.ParseID(start.Cursor)
		if err != nil {
			return f.live(wire.Gap{Reason: wire.ReasonUnknown, Requested: start.Cursor})
		}
		return f.resume(ctx, id)
	case !start.Since.IsZero():
		return f.since(ctx, start.Since)
	case start.Oldest:
		return f.oldest(ctx)
	case start.Last > 0:
		pos, err := f.last(ctx, start.Last, req.Topics)
		return pos, wire.Open{Resumed: wire.ResumedNone}, err
	}
	return f.Position(), wire.Open{Resumed: wire.ResumedNone}, nil
}

// last begins before the newest n events of the ring that the topics match. What
// it looks through it pays for, but for the first go.
func (f *Feed) last(ctx context.Context, n int, t *topics.Set) (event.ID, error) {
	began := time.Now()
	return f.ring.Last(n, t, func() error {
		err := f.turns.Pay(ctx, time.Since(began))
		began = time.Now()
		return err
	})
}

// live begins at the feed's position, after a gap.
func (f *Feed) live(gap wire.Gap) (event.ID, wire.Open, error) { return gapBefore(f.Position(), gap) }

// gapBefore begins at pos, after a gap.
func gapBefore(pos event.ID, gap wire.Gap) (event.ID, wire.Open, error) {
	first := pos
	first.Seq++
	gap.First = &first
	return pos, wire.Open{Gap: &gap}, nil
}

var complete = wire.Open{Resumed: wire.ResumedComplete}

// resume begins after id.
func (f *Feed) resume(ctx context.Context, id event.ID) (event.ID, wire.Open, error) {
	if _, ok := f.ring.Locate(id); ok && id.Seq <= f.Position().Seq {
		return id, complete, nil
	}
	gap := wire.Gap{Requested: id.String()}
	pos := f.Position()
	if id.Epoch == pos.Epoch && id.Seq > pos.Seq {
		return f.waitFor(ctx, id, gap)
	}
	// Below the ring, or of another log than the feed's. What is known of the
	// log may be a second old: a replay checks again.
	now, err := f.log.State(ctx, time.Now().Add(-stateAge))
	if err == nil && (id.Epoch > now.Epoch || id.Epoch == now.Epoch && id.Seq > now.LastSeq) {
		now, err = f.fresh(ctx) // another instance may have noticed sooner
	}
	switch {
	case err != nil && id.Epoch == pos.Epoch:
		return id, complete, nil // the replay waits for NATS
	case err != nil:
		return event.ID{}, wire.Open{}, err
	case id.Epoch != now.Epoch:
		gap.Reason = wire.ReasonRecreated
		return gapBefore(now.Oldest(), gap)
	case id.Seq > now.LastSeq && id.Epoch != pos.Epoch:
		gap.Reason = wire.ReasonAhead
		return gapBefore(now.Position(now.LastSeq), gap)
	case id.Seq < now.Oldest().Seq:
		gap.Reason = wire.ReasonExpired
		return gapBefore(now.Oldest(), gap)
	}
	return id, complete, nil
}

// waitFor waits for the feed to come to id, which another instance has told of
// or which the log never had.
func (f *Feed) waitFor(ctx context.Context, id event.ID, gap wire.Gap) (event.ID, wire.Open, error) {
	reached, forget := f.ring.Reach(id)
	defer forget()
	timeout := time.NewTimer(reachTimeout)
	defer timeout.Stop()
	select {
	case <-reached:
		return id, complete, nil
	case <-ctx.Done():
		return event.ID{}, wire.Open{}, context.Cause(ctx)
	case <-timeout.C:
	}
	if f.endsBefore(ctx, id) {
		gap.Reason = wire.ReasonAhead
		return f.live(gap)
	}
	return id, complete, nil
}

// since begins before the first event stored at t or later. A time to come is
// now, also those that Unix nanoseconds do not reach.
func (f *Feed) since(ctx context.Context, t time.Time) (event.ID, wire.Open, error) {
	if now := time.Now(); t.After(now) {
		t = now
	}
	if pos, ok := f.ring.Since(t.UnixNano()); ok {
		return pos, complete, nil
	}
	for {
		now, err := f.log.State(ctx, time.Now().Add(-stateAge))
		if err != nil {
			return event.ID{}, wire.Open{}, err
		}
		if now.LastSeq < now.FirstSeq || !now.FirstTime.Before(t) {
			// All that is kept. Whether what is gone was stored since is not known.
			if now.FirstSeq > 1 {
				return gapBefore(now.Oldest(), wire.Gap{Reason: wire.ReasonExpired, Requested: t.UTC().Format(time.RFC3339Nano)})
			}
			return now.Oldest(), complete, nil
		}
		if pos, ok, err := f.times.at(ctx, now.Epoch, t); ok || err != nil {
			return pos, complete, err
		}
	}
}

// find is the position before the first event stored at t or later. ok is false
// when some of those may be gone, or the log is another one: its state, which is
// known anew, tells.
func (f *Feed) find(ctx context.Context, epoch int64, t time.Time) (pos event.ID, ok bool, err error) {
	if pos, err = f.replays.AtTime(ctx, epoch, t); err != nil {
		return pos, false, err
	}
	now, err := f.log.State(ctx, time.Now())
	return pos, err == nil && now.Epoch == epoch && now.FirstTime.Before(t), err
}

// oldest begins before the oldest event that is kept. What was removed before
// that was not asked for.
func (f *Feed) oldest(ctx context.Context) (event.ID, wire.Open, error) {
	now, err := f.fresh(ctx)
	return now.Oldest(), complete, err
}

// endsBefore asks whether the log ends before a position. What is known of it
// may be a second old.
func (f *Feed) endsBefore(ctx context.Context, pos event.ID) bool {
	now, err := f.log.State(ctx, time.Now().Add(-stateAge))
	return err == nil && now.Epoch == pos.Epoch && now.LastSeq < pos.Seq
}
