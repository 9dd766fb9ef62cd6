package feed

import (
	"context"
	"errors"
	"time"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// reachTimeout is how long a resume waits for the feed to come to a cursor
// above its position.
const reachTimeout = 5 * time.Second

// Start is where a subscription begins. The zero value is live.
type Start struct {
	// Cursor is the id that the client saw last, as it sent it.
	Cursor string
	// Since asks for the events stored at that time or later.
	Since time.Time
	// Last asks for the newest so many events in the ring.
	Last int
}

// Request is what a client asks for.
type Request struct {
	Topics   *Topics
	Start    Start
	Encoding Encoding
}

// ErrNotReady is what Subscribe gives while the ring has never been loaded.
var ErrNotReady = errors.New("the feed has not read the log yet")

// Subscribe admits a client and settles where it begins. It may wait up to
// 5 s for the feed, and asks NATS only for what is not in memory. The caller
// then calls Serve, Go or Abandon.
func (f *Feed) Subscribe(ctx context.Context, req Request) (*Subscription, error) {
	if !f.wasLoaded.Load() {
		return nil, ErrNotReady
	}
	s := &Subscription{feed: f, topics: req.Topics, enc: req.Encoding}
	if err := f.admit(s); err != nil {
		return nil, err
	}
	pos, open, err := f.resolve(ctx, req)
	if err != nil {
		f.dismiss(s)
		return nil, err
	}
	s.pos, s.first = pos, s.enc.wrap(f.cfg.Encoder.AppendOpen(nil, pos, open))
	f.count(open)
	return s, nil
}

func (f *Feed) count(open sse.Open) {
	resumed := open.Resumed
	if open.Gap != nil {
		resumed = sse.ResumedGap
		f.metrics.gaps.WithLabelValues(string(open.Gap.Reason)).Inc()
	}
	f.metrics.resumes.WithLabelValues(resumed).Inc()
}

// resolve is the position at which the client begins, and what it is told.
func (f *Feed) resolve(ctx context.Context, req Request) (event.ID, sse.Open, error) {
	switch start := req.Start; {
	case start.Cursor != "":
		id, err := event.ParseID(start.Cursor)
		if err != nil {
			return f.live(sse.Gap{Reason: sse.ReasonUnknown, Requested: start.Cursor})
		}
		return f.resume(ctx, id)
	case !start.Since.IsZero():
		return f.since(ctx, start.Since)
	case start.Last > 0:
		return f.ring.last(start.Last, req.Topics), sse.Open{Resumed: sse.ResumedNone}, nil
	}
	return f.Position(), sse.Open{Resumed: sse.ResumedNone}, nil
}

// live begins at the feed's position, behind a gap.
func (f *Feed) live(gap sse.Gap) (event.ID, sse.Open, error) { return gapBefore(f.Position(), gap) }

// gapBefore begins at pos, behind a gap.
func gapBefore(pos event.ID, gap sse.Gap) (event.ID, sse.Open, error) {
	first := pos
	first.Seq++
	gap.First = &first
	return pos, sse.Open{Gap: &gap}, nil
}

var complete = sse.Open{Resumed: sse.ResumedComplete}

// resume begins behind id.
func (f *Feed) resume(ctx context.Context, id event.ID) (event.ID, sse.Open, error) {
	if _, ok := f.ring.locate(id); ok && id.Seq <= f.Position().Seq {
		return id, complete, nil
	}
	gap := sse.Gap{Requested: id.String()}
	pos := f.Position()
	if id.Epoch == pos.Epoch && id.Seq > pos.Seq {
		return f.reach(ctx, id, gap)
	}
	// Below the ring, or of another log than the feed's. What is known of the
	// log may be a second old: a replay checks again.
	now, err := f.log.info(ctx, time.Now().Add(-time.Second))
	if err == nil && (id.Epoch > now.epoch || id.Epoch == now.epoch && id.Seq > now.lastSeq) {
		now, err = f.log.info(ctx, time.Now()) // another instance may have noticed sooner
	}
	switch {
	case err != nil && id.Epoch == pos.Epoch:
		return id, complete, nil // the replay waits for NATS
	case err != nil:
		return event.ID{}, sse.Open{}, err
	case id.Epoch != now.epoch:
		gap.Reason = sse.ReasonRecreated
		return gapBefore(now.oldest(), gap)
	case id.Seq > now.lastSeq && id.Epoch != pos.Epoch:
		gap.Reason = sse.ReasonAhead
		return gapBefore(now.position(now.lastSeq), gap)
	case id.Seq < now.oldest().Seq:
		gap.Reason = sse.ReasonExpired
		return gapBefore(now.oldest(), gap)
	}
	return id, complete, nil
}

// reach waits for the feed to come to id, which another instance has told of
// or which the log never had.
func (f *Feed) reach(ctx context.Context, id event.ID, gap sse.Gap) (event.ID, sse.Open, error) {
	timeout, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	for {
		pos, moved := f.ring.wait()
		if pos.Epoch != id.Epoch || pos.Seq >= id.Seq {
			return id, complete, nil
		}
		select {
		case <-moved:
			continue
		case <-timeout.Done():
		}
		break
	}
	if err := ctx.Err(); err != nil {
		return event.ID{}, sse.Open{}, err
	}
	now, err := f.log.info(ctx, time.Now().Add(-time.Second))
	if err == nil && now.epoch == id.Epoch && id.Seq > now.lastSeq {
		gap.Reason = sse.ReasonAhead
		return f.live(gap)
	}
	return id, complete, nil
}

// since begins before the first event stored at t or later. A time to come is
// now, also those that Unix nanoseconds do not reach.
func (f *Feed) since(ctx context.Context, t time.Time) (event.ID, sse.Open, error) {
	if now := time.Now(); t.After(now) {
		t = now
	}
	if pos, ok := f.ring.since(t.UnixNano()); ok {
		return pos, complete, nil
	}
	now, err := f.log.info(ctx, time.Now())
	if err != nil {
		return event.ID{}, sse.Open{}, err
	}
	if !now.firstTime.Before(t) || now.lastSeq < now.firstSeq {
		// All that is kept. Whether what is gone was stored since is not known.
		if now.firstSeq > 1 {
			return gapBefore(now.oldest(), sse.Gap{Reason: sse.ReasonExpired, Requested: t.UTC().Format(time.RFC3339Nano)})
		}
		return now.oldest(), complete, nil
	}
	select { // it takes a consumer, as a replay does
	case <-ctx.Done():
		return event.ID{}, sse.Open{}, ctx.Err()
	case f.slots <- struct{}{}:
	}
	seq, err := f.log.atTime(ctx, t)
	<-f.slots
	if err != nil {
		return event.ID{}, sse.Open{}, err
	}
	return now.position(seq), complete, nil
}
