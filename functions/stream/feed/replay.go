package feed

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

const (
	chunkEvents = 256       // most events fetched at a time for one client
	chunkBytes  = 256 << 10 // and about most bytes
	firstBytes  = 16 << 10  // of the first chunk, which a slow client may keep in memory
	// promptly is how fast a client must take a chunk to get a larger one.
	promptly = 250 * time.Millisecond
	// warmEvery is how often a client that waits gets a comment.
	warmEvery = 10 * time.Second
	// replayPause is how long a replay waits after a failure of NATS.
	replayPause = time.Second
)

// replay is one client's way through the part of the log that the ring no
// longer holds: a short-lived consumer, read in chunks.
type replay struct {
	sub       *Subscription
	subjects  []string
	consumer  string // "" when there is none
	parked    bool   // it is kept while the client takes its chunk
	bytes     int    // bound of the next chunk
	delivered uint64
	misses    int // times that the consumer did not answer
	msgs      []*nats.Msg
	more      bool     // the consumer may have more at once
	upTo      event.ID // the position behind the chunk
}

// catchUp brings the subscription to where the ring goes on from its position,
// through the log where need be. It returns nil also when the subscription is
// to end: the pump looks for that.
func (s *Subscription) catchUp() error {
	ctx, cancel := s.waiting()
	defer cancel()
	r := &replay{sub: s, subjects: s.topics.subjects(), bytes: firstBytes}
	defer r.close()
	for ctx.Err() == nil {
		if _, ok := s.feed.ring.locate(s.pos); ok {
			if err := s.reach(ctx); err != nil {
				return err
			}
			if idx, ok := s.feed.ring.locate(s.pos); ok {
				s.caughtUp(idx)
				return nil
			}
			continue
		}
		if err := r.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// caughtUp goes on at a ring index; what the shard has announced by now is
// still catching up.
func (s *Subscription) caughtUp(idx uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idx = idx
	s.behind, s.live = s.target, false
	s.refused, s.msgs, s.bytes = false, 0, 0
}

// reach waits until the feed is not behind the subscription any more: a replay
// may have read on, and a cursor may come from an instance that is ahead. One
// that the log does not have is told after 5 s at the least.
func (s *Subscription) reach(ctx context.Context) error {
	warm, check := time.NewTicker(warmEvery), time.NewTicker(reachTimeout)
	defer warm.Stop()
	defer check.Stop()
	for {
		pos, moved := s.feed.ring.wait()
		if pos.Epoch != s.pos.Epoch || pos.Seq >= s.pos.Seq {
			return nil
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-check.C:
			err = s.goBack(ctx)
		case <-warm.C:
			err = s.warm()
		}
		if err != nil {
			return err
		}
	}
}

// goBack goes on at the feed's position, behind a gap, if the log ends before
// the subscription's.
func (s *Subscription) goBack(ctx context.Context) error {
	now, err := s.feed.log.info(ctx, time.Now().Add(-time.Second))
	if err != nil || now.epoch != s.pos.Epoch || now.lastSeq >= s.pos.Seq {
		return nil
	}
	gap := s.gap(sse.ReasonAhead, s.pos, s.feed.Position())
	if err := s.write(s.enc.wrap(gap.block)); err != nil {
		return err
	}
	s.pos = gap.id
	return nil
}

// step fetches a chunk and writes it. Only a failure of the client is an
// error; NATS is asked again.
func (r *replay) step(ctx context.Context) error {
	s := r.sub
	if ok, err := r.slot(ctx); !ok {
		return err
	}
	frames, err := r.fetch(ctx)
	r.park(err == nil && r.more) // what it delivered in vain must come again
	<-s.feed.slots
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		s.feed.cfg.Log.Warn("a replay waits for NATS", "err", err, "position", s.pos.String())
		pause(ctx, replayPause)
		return s.warm()
	}
	began := time.Now()
	if err := r.write(frames); err != nil {
		return err
	}
	if r.bytes = max(r.bytes/2, firstBytes); time.Since(began) < promptly {
		r.bytes = min(r.bytes*4, chunkBytes)
	}
	if r.more {
		return nil
	}
	return r.prove(ctx)
}

// write writes a chunk; then the position is at its end.
func (r *replay) write(frames []frame) error {
	s := r.sub
	for len(frames) > 0 {
		n := writable(frames)
		if err := s.write(s.enc.join(s.feed.cfg.Encoder, frames[:n])); err != nil {
			return err
		}
		s.count(frames[:n])
		s.pos = frames[n-1].id
		frames = frames[n:]
	}
	s.pos = r.upTo
	return nil
}

// writable is how many frames make one write.
func writable(frames []frame) int {
	bytes := 0
	for i := range frames {
		if bytes += len(frames[i].block); bytes > writeBytes && i > 0 {
			return i
		}
	}
	return len(frames)
}

// slot waits for a place among the replays; if ok the caller gives it back. An
// error is the client's failure.
func (r *replay) slot(ctx context.Context) (ok bool, err error) {
	warm := time.NewTicker(warmEvery)
	defer warm.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case r.sub.feed.slots <- struct{}{}:
			r.unpark()
			return true, nil
		case <-warm.C:
			if err := r.sub.warm(); err != nil {
				return false, err
			}
		}
	}
}

// warm writes a comment, so that no proxy takes a waiting client for gone.
func (s *Subscription) warm() error { return s.write(s.enc.wrap(sse.AppendComment(nil))) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// fetch gets the next chunk, and what it leaves unsaid: a gap for a log that is
// another one by now, or that may have forgotten events before they were read.
func (r *replay) fetch(ctx context.Context) ([]frame, error) {
	s := r.sub
	s.feed.metrics.chunks.Inc()
	if err := r.pull(ctx); err != nil {
		return nil, err
	}
	now, err := s.feed.log.info(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	if now.epoch != s.pos.Epoch {
		r.close()
		r.more = true
		r.upTo = now.oldest()
		return []frame{s.gap(sse.ReasonRecreated, s.pos, r.upTo)}, nil
	}
	return r.frames(now.firstSeq)
}

// frames are our events of the chunk. The log's first sequence was asked for
// after they came, so a jump that begins there or behind it passes over nothing
// of ours; one that begins before may, and gets a gap.
func (r *replay) frames(first uint64) (frames []frame, err error) {
	r.upTo = r.sub.pos
	jump := func(next uint64) {
		if from := r.upTo.Seq + 1; next > from && first > from {
			before := event.ID{Epoch: r.upTo.Epoch, Seq: next - 1}
			frames = append(frames, r.sub.gap(sse.ReasonExpired, r.upTo, before))
			r.upTo = before
		}
	}
	for _, m := range r.msgs {
		f, err := r.frame(m)
		if err != nil {
			return nil, err
		}
		if f.id.Seq <= r.upTo.Seq {
			continue // told as lost already
		}
		jump(f.id.Seq)
		r.upTo = f.id
		if f.topic != "" && r.sub.topics.Match(f.topic) {
			frames = append(frames, f)
		}
	}
	if !r.more {
		jump(first)
	}
	return frames, nil
}

// pull fills msgs from the consumer, which it makes first if there is none.
func (r *replay) pull(ctx context.Context) error {
	s := r.sub
	if r.consumer == "" {
		cfg := s.feed.log.consumerConfig("replay", r.subjects, s.pos.Seq)
		if err := s.feed.log.create(ctx, cfg); err != nil {
			return err
		}
		r.consumer, r.delivered, r.misses = cfg.Name, 0, 0
	}
	var err error
	r.msgs, r.more, err = s.feed.log.pull(ctx, r.consumer, chunkEvents, r.bytes)
	if !errors.Is(err, errConsumerGone) {
		return err
	}
	// Its 10 s were over, or it is so new that not all servers know of it.
	r.msgs, r.more = nil, true
	if r.misses++; r.misses > 5 {
		r.close()
		return nil
	}
	pause(ctx, 50*time.Millisecond)
	return nil
}

// frame is a delivered message as a frame; without a topic if it has none of
// ours.
func (r *replay) frame(m *nats.Msg) (frame, error) {
	meta, err := m.Metadata()
	if err != nil {
		return frame{}, err
	}
	if r.delivered++; meta.Sequence.Consumer != r.delivered {
		return frame{}, errors.New("a delivery of the replay is missing")
	}
	id := event.ID{Epoch: r.sub.pos.Epoch, Seq: meta.Sequence.Stream}
	topic, ok := event.Topic(m.Subject)
	if !ok {
		return frame{id: id}, nil
	}
	f, _ := newFrame(r.sub.feed.cfg.Encoder, message(m, id, topic, meta.Timestamp))
	return f, nil
}

// gap says that what is between after and before may be lost.
func (s *Subscription) gap(reason sse.Reason, after, before event.ID) frame {
	first := before
	first.Seq++
	block := s.feed.cfg.Encoder.AppendGap(nil, before, sse.Gap{Reason: reason, Requested: after.String(), First: &first})
	s.feed.metrics.gaps.WithLabelValues(string(reason)).Inc()
	return frame{id: before, block: block}
}

// prove is for a consumer that has nothing more: it moves the position to
// where that is known to hold, or waits a moment for the feed.
func (r *replay) prove(ctx context.Context) error {
	s := r.sub
	if _, ok := s.feed.ring.locate(s.pos); ok {
		return nil
	}
	if ok, err := r.slot(ctx); !ok {
		return err
	}
	pos, ok, err := s.feed.log.scanned(ctx, r.subjects, s.pos)
	<-s.feed.slots
	if err != nil {
		pause(ctx, replayPause)
		return s.warm()
	}
	if !ok {
		return nil
	}
	now, err := s.feed.log.info(ctx, time.Now())
	if err != nil || now.epoch != s.pos.Epoch || now.oldest().Seq > s.pos.Seq {
		return nil // the next fetch tells
	}
	if pos == s.pos {
		pause(ctx, replayPause/10)
	}
	s.pos = pos
	return nil
}

// park keeps the consumer while the client takes its chunk, if wanted: only so
// many may be kept, because a stream has 1,000 at most and a client that reads
// 1 byte/s must not hold one.
func (r *replay) park(wanted bool) {
	if r.consumer == "" {
		return
	}
	if wanted {
		select {
		case r.sub.feed.parked <- struct{}{}:
			r.parked = true
			return
		default:
		}
	}
	r.close()
}

func (r *replay) unpark() {
	if r.parked {
		<-r.sub.feed.parked
		r.parked = false
	}
}

// close deletes the consumer.
func (r *replay) close() {
	r.unpark()
	if r.consumer != "" {
		r.sub.feed.log.forget(r.consumer)
		r.consumer = ""
	}
}
