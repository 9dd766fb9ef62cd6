package reader

import (
	"context"
	"fmt"
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// take handles m and what has come with it, then wakes the clients once.
func (r *Reader) take(ctx context.Context, tail *eventlog.Tail, m eventlog.Arrival) error {
	defer r.cfg.Moved()
	for range batch {
		if err := r.handle(ctx, tail, m); err != nil {
			return err
		}
		select {
		case m = <-tail.C():
		default:
			return nil
		}
	}
	return r.handle(ctx, tail, m)
}

func (r *Reader) handle(ctx context.Context, tail *eventlog.Tail, m eventlog.Arrival) error {
	r.heard = time.Now()
	r.evidence.spend()
	d, err := tail.Take(m)
	switch {
	case err != nil:
		return err
	case d.IsEvent:
		return r.event(ctx, tail, m.Subject, &d.Message)
	case d.Scanned != event.ID{}:
		return r.advance(ctx, tail, d.Scanned)
	}
	return nil
}

// event puts one event into the ring.
func (r *Reader) event(ctx context.Context, tail *eventlog.Tail, subject string, m *wire.Message) error {
	if err := r.jump(ctx, tail, m.ID.Seq); err != nil {
		return err
	}
	r.last = eventlog.StoredAt(m.ID, m.Time)
	if m.Topic == "" {
		r.strays.note(subject)
		r.cfg.Metrics.NoTopic()
		r.cfg.Ring.Advance(m.ID)
		return nil
	}
	f, flaw := wire.NewFrame(r.cfg.Wire, m)
	r.cfg.Metrics.Flaw(flaw)
	r.cfg.Metrics.Events.Inc()
	r.cfg.Ring.Append(f)
	r.load(0)
	return nil
}

// advance moves the position on to where nothing more of ours is. That may be
// so because it was removed before it was read.
func (r *Reader) advance(ctx context.Context, tail *eventlog.Tail, to event.ID) error {
	if to.Seq <= r.cfg.Ring.Position().Seq {
		return nil
	}
	if err := r.jump(ctx, tail, to.Seq+1); err != nil {
		return err
	}
	r.cfg.Ring.Advance(to)
	r.load(0)
	return nil
}

// jump tells a gap if sequences between the position and the next event were
// removed before they were read; other jumps (our filter, deleted messages)
// lose nothing of ours. Only the log's state, asked for after the event arrived,
// tells which it is.
func (r *Reader) jump(ctx context.Context, tail *eventlog.Tail, next uint64) error {
	pos := r.cfg.Ring.Position()
	if next <= pos.Seq {
		return fmt.Errorf("sequence %d came after %d", next, pos.Seq)
	}
	if next == pos.Seq+1 {
		return nil
	}
	j := r.cfg.Log.Jump(pos, next, tail.Server(), r.last)
	if r.evidence.clears(j) {
		return nil
	}
	arrived := tail.Waiting()
	now, err := r.cfg.Log.State(ctx, time.Now())
	if err != nil {
		return err
	}
	c, err := pass(now, j)
	if err != nil {
		return err
	}
	r.evidence = evidence{now: now, messages: arrived}
	if c.reason != "" {
		r.gap(c, pos)
	}
	return nil
}
