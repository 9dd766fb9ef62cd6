package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

const (
	// readerBeat is the idle heartbeat asked of the reader's consumer; without
	// one for three of them the reader restarts.
	readerBeat = time.Second
	// watchEvery is how often the watchdog asks for the stream's state.
	watchEvery = 2 * time.Second
	// stuckAfter is how long the feed may be behind without moving, and how
	// long a log that ends before the feed's position is given to catch up
	// with itself (a new leader may be behind for a moment).
	stuckAfter = 5 * time.Second
	// readerQueue is how many messages may wait for the reader; the server's
	// flow control bounds their bytes (32 MiB at most).
	readerQueue = 1 << 17
)

// reader is the one consumer of a feed. It owns its restarts: each checks the
// log's epoch and bounds before anything more is published.
type reader struct {
	feed     *Feed
	subjects []string
	started  bool      // the ring has begun
	back     time.Time // since when the log ends before our position

	// of the current consumer
	consumer  string
	delivered uint64 // consumer sequence of the last message
	proof     uint64 // FirstSeq that a STREAM.INFO gave
	proven    int    // messages that had arrived before it was asked
	heard     time.Time
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 2*time.Second
	for r.connected(ctx) {
		began := time.Now()
		err := r.life(ctx)
		if ctx.Err() != nil {
			return
		}
		r.feed.metrics.restarts.Inc()
		r.feed.setReading(err)
		if time.Since(began) > 10*time.Second {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		r.feed.cfg.Log.Warn("the feed restarts its reader", "err", err, "position", r.feed.Position().String(), "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// connected waits until NATS is there; false is the end of ctx.
func (r *reader) connected(ctx context.Context) bool {
	conn := r.feed.cfg.Conn
	if ctx.Err() == nil && conn.IsConnected() {
		return true
	}
	r.feed.setReading(nats.ErrDisconnected)
	r.feed.cfg.Log.Warn("the feed waits for NATS", "position", r.feed.Position().String())
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if conn.IsConnected() {
				return true
			}
		}
	}
}

// life is one consumer, from the check of the log to its failure.
func (r *reader) life(ctx context.Context) error {
	now, err := r.feed.log.info(ctx, time.Now())
	if err != nil {
		return err
	}
	if err := r.settle(now); err != nil {
		return err
	}
	from := r.feed.Position()
	ch := make(chan *nats.Msg, readerQueue)
	name, stop, err := r.feed.log.push(ctx, "feed", r.subjects, from.Seq, readerBeat, ch)
	if err != nil {
		return err
	}
	defer stop()
	r.consumer, r.delivered, r.proven, r.heard = name, 0, 0, time.Now()
	r.feed.setReading(nil)
	r.feed.loadedAt(now.lastSeq)
	r.feed.cfg.Log.Info("the feed reads", "stream", r.feed.cfg.Stream, "from", from.String(), "last_seq", now.lastSeq)
	return r.read(ctx, ch)
}

// settle brings the ring in line with the log before reading goes on.
func (r *reader) settle(now state) error {
	ring, pos := r.feed.ring, r.feed.Position()
	switch {
	case !r.started:
		r.started = true
		start := now.oldest()
		if n := uint64(r.feed.cfg.RingEvents); now.lastSeq > start.Seq+n {
			start.Seq = now.lastSeq - n
		}
		ring.begin(start)
	case now.epoch != pos.Epoch:
		r.gap(sse.ReasonRecreated, pos, now.oldest(), ring.restart)
	case now.lastSeq < pos.Seq:
		if r.back.IsZero() {
			r.back = time.Now()
		}
		if time.Since(r.back) < stuckAfter {
			return fmt.Errorf("the log ends at sequence %d, before the feed's position %d", now.lastSeq, pos.Seq)
		}
		r.gap(sse.ReasonAhead, pos, now.position(now.lastSeq), ring.restart)
	case now.oldest().Seq > pos.Seq:
		r.gap(sse.ReasonExpired, pos, now.oldest(), ring.append)
	}
	r.back = time.Time{}
	return nil
}

// gap tells all subscriptions that what is between pos and before is lost.
func (r *reader) gap(reason sse.Reason, pos, before event.ID, put func(frame)) {
	first := before
	first.Seq++
	block := r.feed.cfg.Encoder.AppendGap(nil, before, sse.Gap{Reason: reason, Requested: pos.String(), First: &first})
	r.feed.metrics.gaps.WithLabelValues(string(reason)).Inc()
	r.feed.cfg.Log.Warn("the log has a gap", "reason", reason, "position", pos.String(), "first", first.String())
	put(frame{id: before, time: time.Now().UnixNano(), block: block, cost: int64(len(block)) + frameOverhead})
	r.feed.wake()
}

func (r *reader) read(ctx context.Context, ch <-chan *nats.Msg) error {
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	progress, movedAt := r.feed.Position(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-ch:
			if err := r.take(ctx, m, ch); err != nil {
				return err
			}
		case <-watch.C:
			if !r.feed.cfg.Conn.IsConnected() {
				return nats.ErrDisconnected
			}
			if quiet := time.Since(r.heard); quiet > 3*readerBeat && len(ch) == 0 {
				return fmt.Errorf("nothing heard from the consumer for %s", quiet.Round(time.Millisecond))
			}
			pos := r.feed.Position()
			now, err := r.feed.log.info(ctx, time.Now())
			if err != nil {
				return err
			}
			if pos != progress || now.lastSeq == pos.Seq {
				progress, movedAt = pos, time.Now()
			}
			switch {
			case now.epoch != pos.Epoch:
				return errors.New("the log was recreated")
			case now.lastSeq < pos.Seq:
				return fmt.Errorf("the log ends at sequence %d, before the feed's position %d", now.lastSeq, pos.Seq)
			case time.Since(movedAt) > stuckAfter:
				return fmt.Errorf("the feed is stuck at sequence %d of %d", pos.Seq, now.lastSeq)
			}
		}
	}
}

// take handles m and what has come with it, then wakes the shards once.
func (r *reader) take(ctx context.Context, m *nats.Msg, ch <-chan *nats.Msg) error {
	// batch bounds how long a wake-up is put off.
	const batch = 256
	defer r.feed.wake()
	for range batch {
		if err := r.handle(ctx, m, ch); err != nil {
			return err
		}
		select {
		case m = <-ch:
		default:
			return nil
		}
	}
	return r.handle(ctx, m, ch)
}

func (r *reader) handle(ctx context.Context, m *nats.Msg, ch <-chan *nats.Msg) error {
	r.heard = time.Now()
	if r.proven > 0 {
		r.proven--
	}
	if sent, scanned, is := r.feed.log.control(m); is {
		if scanned > 0 && sent == r.delivered {
			return r.advance(ctx, scanned, len(ch))
		}
		return nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("message metadata: %w", err)
	}
	if meta.Consumer != r.consumer || meta.Sequence.Consumer != r.delivered+1 {
		return fmt.Errorf("delivery %d of %s came after %d of %s",
			meta.Sequence.Consumer, meta.Consumer, r.delivered, r.consumer)
	}
	r.delivered++
	pos := r.feed.Position()
	if err := r.checkJump(ctx, pos, meta.Sequence.Stream, len(ch)); err != nil {
		return err
	}
	r.publish(m, event.ID{Epoch: pos.Epoch, Seq: meta.Sequence.Stream}, meta.Timestamp)
	return nil
}

// advance moves the position on to where nothing more of ours is. That may be
// so because it was removed before it was read.
func (r *reader) advance(ctx context.Context, to uint64, waiting int) error {
	pos := r.feed.Position()
	if to <= pos.Seq {
		return nil
	}
	if err := r.checkJump(ctx, pos, to+1, waiting); err != nil {
		return err
	}
	r.feed.ring.advance(event.ID{Epoch: pos.Epoch, Seq: to})
	r.feed.loadedAt(0)
	return nil
}

// checkJump tells a gap if sequences between pos and the next event were
// removed before they were read; other jumps (our filter, deleted messages)
// lose nothing of ours. Only a FirstSeq asked for after the event arrived
// proves that; waiting is how many messages have arrived by now.
func (r *reader) checkJump(ctx context.Context, pos event.ID, next uint64, waiting int) error {
	if next <= pos.Seq {
		return fmt.Errorf("sequence %d came after %d", next, pos.Seq)
	}
	if next == pos.Seq+1 {
		return nil
	}
	if r.proven == 0 || r.proof > pos.Seq+1 {
		now, err := r.feed.log.info(ctx, time.Now())
		if err != nil {
			return err
		}
		if now.epoch != pos.Epoch {
			return errors.New("the log was recreated")
		}
		r.proof, r.proven = now.firstSeq, waiting
	}
	if r.proof > pos.Seq+1 {
		r.gap(sse.ReasonExpired, pos, event.ID{Epoch: pos.Epoch, Seq: next - 1}, r.feed.ring.append)
	}
	return nil
}

func (r *reader) publish(m *nats.Msg, id event.ID, stored time.Time) {
	topic, ok := event.Topic(m.Subject)
	if !ok {
		// A subject outside the topic grammar: nobody can have asked for it.
		r.feed.metrics.flaws.WithLabelValues("topic").Inc()
		r.feed.ring.advance(id)
		return
	}
	f, flaw := newFrame(r.feed.cfg.Encoder, message(m, id, topic, stored))
	r.feed.metrics.flawed(flaw)
	r.feed.metrics.events.Inc()
	r.feed.ring.append(f)
	r.feed.loadedAt(0)
}

// message is what the log holds, as the encoder takes it.
func message(m *nats.Msg, id event.ID, topic string, stored time.Time) *sse.Message {
	return &sse.Message{ID: id, Topic: topic, Header: m.Header.Get(event.HeaderType), Data: m.Data, Time: stored}
}
