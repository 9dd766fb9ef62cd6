package replay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/metrics"
	"sluice/functions/stream/feed/turns"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

const (
	chunkEvents = 256       // most events fetched at a time
	chunkBytes  = 256 << 10 // and about most bytes
	firstBytes  = 16 << 10  // of the first chunk, which a slow client may keep in memory
	// promptly is how fast a chunk must be taken for the next to be larger.
	promptly = 250 * time.Millisecond
	// failurePause is how long a replay waits after a failure of NATS.
	failurePause = 500 * time.Millisecond
	// idlePause is how long it waits when the log has nothing more and the
	// ring has not come to that place yet.
	idlePause = failurePause / 5
	// A consumer that does not answer is asked again so many times, with this
	// pause: one that is new is not known to all servers at once.
	maxMisses = 5
	missPause = 50 * time.Millisecond
	// What a consumer has is waited for so long at first: its server may be
	// gone. The next one is given twice the time, up to mostWait, because it may
	// have to look through the whole log.
	firstWait = time.Second
	mostWait  = 4 * time.Second
)

// warmEvery is how long Next waits for a slot before it returns without one, so
// that its caller can give the client a sign of life.
const warmEvery = 10 * time.Second

// Config is what Replays need; every field must be set.
type Config struct {
	Log         *eventlog.Log
	Wire        wire.Wire // that renders the frames
	Concurrency int       // chunks under way at once
	Metrics     *metrics.Metrics
	Logger      *slog.Logger
	Turns       *turns.Turns // counts what is done in vain
}

// Replays bounds the replays of a process. It is safe for concurrent use.
type Replays struct {
	Config
	slots  chan struct{} // one for each chunk under way
	parked chan struct{} // one for each consumer kept from chunk to chunk
}

// New makes the bounds that all replays of cfg share.
func New(cfg Config) *Replays {
	return &Replays{
		Config: cfg,
		slots:  make(chan struct{}, cfg.Concurrency),
		parked: make(chan struct{}, cfg.Concurrency),
	}
}

// AtTime is the position before the first event stored at t or later, in a log
// of that epoch. It takes a slot, because it takes a consumer.
func (rs *Replays) AtTime(ctx context.Context, epoch int64, t time.Time) (event.ID, error) {
	select {
	case <-ctx.Done():
		return event.ID{}, ctx.Err()
	case rs.slots <- struct{}{}:
	}
	defer func() { <-rs.slots }()
	return rs.Log.AtTime(ctx, epoch, t)
}

// Replay is a way through the log for a set of topics: a short-lived consumer,
// read in chunks. It belongs to one goroutine.
type Replay struct {
	*Replays
	topics   *topics.Set
	subjects []string
	pos      event.ID // where the last chunk ended

	consumer *eventlog.Consumer // nil when there is none
	isParked bool               // it is kept while the caller takes its chunk
	misses   int                // times that the consumer did not answer
	within   time.Duration      // that its next answer is waited for
	drained  bool               // it had nothing more: up to where is to be proven
	last     eventlog.Stored    // of the last event that was read
	leader   string             // where the next consumer must be; "" for anywhere

	bytes int       // bound of the next chunk
	given time.Time // when the last chunk was given; zero when that says nothing

	vain time.Duration // what the last step has worked in vain
	rest time.Time     // until when it rests for that, and keeps its slot; zero when it has none
}

// Open begins a replay; it asks NATS for nothing. The caller closes it.
func (rs *Replays) Open(t *topics.Set) *Replay {
	return &Replay{Replays: rs, topics: t, subjects: t.Subjects(), bytes: firstBytes, within: firstWait}
}

// Next is the chunk after a position, which is the end of the last one unless
// the caller has moved on by other means. An error is the end of ctx: what
// fails at NATS is logged, and asked again by the next call.
func (r *Replay) Next(ctx context.Context, after event.ID) (wire.Chunk, error) {
	if after != r.pos {
		r.close()
		r.pos, r.drained, r.leader = after, false, ""
	}
	r.pace()
	if ok, err := r.slot(ctx); !ok {
		return wire.Chunk{UpTo: r.pos, Waited: true}, err
	}
	step := r.fetch
	if r.drained {
		step = r.prove
	}
	c, pause, err := step(ctx)
	r.leave()
	if ctx.Err() != nil {
		return wire.Chunk{}, context.Cause(ctx)
	}
	if err != nil {
		r.Logger.Warn("a replay waits for NATS", "err", err, "position", r.pos.String())
		_ = turns.Rest(ctx, failurePause)
		return wire.Chunk{UpTo: r.pos, Waited: true}, nil
	}
	_ = turns.Rest(ctx, pause)
	r.pos = c.UpTo
	return c, nil
}

// pace sizes the next chunk by how fast the last one was taken.
func (r *Replay) pace() {
	if r.given.IsZero() {
		return
	}
	if r.bytes = max(r.bytes/2, firstBytes); time.Since(r.given) < promptly {
		r.bytes = min(r.bytes*4, chunkBytes)
	}
	r.given = time.Time{}
}

// fetch gets the next chunk. It is a gap when the log is another one by now, and
// has a gap where events may have been removed before they were read.
func (r *Replay) fetch(ctx context.Context) (c wire.Chunk, pause time.Duration, err error) {
	r.Metrics.Chunks.Inc()
	began := time.Now()
	before := r.Log.Known() // there is a consumer
	msgs, more, err := r.pull(ctx)
	pulled := time.Since(began)
	server := ""
	empty := r.consumer != nil && r.consumer.Empty()
	if r.consumer != nil {
		server = r.consumer.Server()
	}
	defer func() { r.park(err == nil && more) }() // what it delivered in vain must come again
	if err != nil {
		return c, 0, err
	}
	now, err := r.Log.Ask(ctx)
	if err != nil {
		return c, 0, err
	}
	r.given = time.Now()
	asked := r.given.Sub(began) - pulled
	if now.Epoch != r.pos.Epoch {
		more = false // for the consumer; the log has more
		r.Metrics.Gap(wire.ReasonRecreated)
		gap := wire.NewGap(r.Wire, wire.ReasonRecreated, r.pos, now.Oldest())
		return wire.Chunk{Frames: []wire.Frame{gap}, UpTo: gap.ID}, 0, nil
	}
	c, doubt := r.assemble(msgs, more, now, server)
	c.Read = len(msgs)
	if doubt {
		more = false // for this consumer: one at the leader reads on
		r.leader = now.Leader
		return c, 0, nil
	}
	r.drained = !more && now.Replicas > 1
	if empty && now.Replicas <= 1 {
		pause = r.pass(&c, before, now)
	}
	r.vain = inVain(pulled-asked, len(msgs), len(c.Frames))
	return c, pause, nil
}

// pass moves on to where the log ended before a consumer was made that found
// nothing, where one server has all of the log: what it counts then is the proof.
// Else a server may count less than the others have, and prove finds out.
func (r *Replay) pass(c *wire.Chunk, before, now eventlog.State) (pause time.Duration) {
	if before.Epoch == r.pos.Epoch && before.LastSeq > c.UpTo.Seq {
		c.UpTo = before.Position(before.LastSeq)
	}
	if c.UpTo == r.pos && now.LastSeq <= r.pos.Seq {
		return idlePause
	}
	return 0
}

// assemble is our events of what was delivered by a consumer at a server. now
// was asked for after they came, so it tells which jumps pass over nothing of
// ours; others get a gap. At one that is doubtful the chunk ends.
func (r *Replay) assemble(msgs []wire.Message, more bool, now eventlog.State, server string) (c wire.Chunk, doubt bool) {
	c.UpTo = r.pos
	jump := func(next uint64) eventlog.Verdict {
		j := eventlog.Jump{Pos: c.UpTo, Next: next}
		if now.Replicas > 1 {
			j = r.Log.Jump(c.UpTo, next, server, r.last)
		}
		v := now.Judge(j)
		if v == eventlog.Lost {
			gap := wire.NewGap(r.Wire, wire.ReasonExpired, c.UpTo, event.ID{Epoch: c.UpTo.Epoch, Seq: next - 1})
			r.Metrics.Gap(wire.ReasonExpired)
			c.Frames = append(c.Frames, gap)
			c.UpTo = gap.ID
		}
		return v
	}
	for i := range msgs {
		m := &msgs[i]
		if m.ID.Seq <= c.UpTo.Seq {
			continue // told as lost already
		}
		if jump(m.ID.Seq) == eventlog.Doubtful {
			return c, true
		}
		c.UpTo = m.ID
		r.last = eventlog.StoredAt(m.ID, m.Time)
		if m.Topic != "" && r.topics.Match(m.Topic) {
			f, _ := wire.NewFrame(r.Wire, m)
			c.Frames = append(c.Frames, f)
		}
	}
	if !more && now.FirstSeq > c.UpTo.Seq {
		jump(now.FirstSeq)
	}
	return c, false
}

// pull takes from the consumer, which it makes first if there is none.
func (r *Replay) pull(ctx context.Context) (msgs []wire.Message, more bool, err error) {
	if r.consumer == nil {
		if r.consumer, err = r.Log.Consume(ctx, "replay", r.subjects, r.pos, r.leader); err != nil {
			r.leader = "" // it may be another one by now
			return nil, false, err
		}
		r.leader = ""
		r.misses = 0
		if r.consumer.Empty() {
			return nil, false, nil
		}
	}
	r.waiting(ctx, func(ctx context.Context) error {
		msgs, more, err = r.consumer.Fetch(ctx, chunkEvents, r.bytes)
		return err
	})
	if !errors.Is(err, eventlog.ErrConsumerGone) {
		return msgs, more, err
	}
	if r.misses++; r.misses > maxMisses {
		r.close() // nobody has used it for too long, or it was deleted
	} else {
		_ = turns.Rest(ctx, missPause)
	}
	return nil, true, nil
}

// waiting has ask end in time.
func (r *Replay) waiting(ctx context.Context, ask func(context.Context) error) {
	once, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	if err := ask(once); err != nil && once.Err() != nil {
		r.within = min(2*r.within, mostWait)
		return
	}
	r.within = firstWait
}

// prove is for a consumer that had nothing more: it finds out up to where that is
// so, and moves on to there.
func (r *Replay) prove(ctx context.Context) (c wire.Chunk, pause time.Duration, err error) {
	c.UpTo = r.pos
	var pos event.ID
	var server string
	var ok bool
	r.waiting(ctx, func(ctx context.Context) error {
		pos, server, ok, err = r.Log.Scanned(ctx, r.subjects, r.pos, r.leader)
		return err
	})
	r.leader = ""
	if err != nil {
		return c, 0, err
	}
	if !ok {
		r.drained = false
		return c, 0, nil // there is one more now
	}
	now, err := r.Log.Ask(ctx)
	if err != nil || now.Epoch != r.pos.Epoch || now.Oldest().Seq > r.pos.Seq {
		r.drained = false
		return c, 0, nil // the next fetch tells
	}
	if now.Judge(r.Log.Jump(r.pos, pos.Seq+1, server, r.last)) != eventlog.Harmless {
		r.leader = now.Leader // who must look too
		return c, 0, nil
	}
	r.drained = false
	if pos == r.pos {
		pause = idlePause
	}
	c.UpTo = pos
	return c, pause, nil
}

// park keeps the consumer while the caller takes its chunk, if wanted: only so
// many may be kept, because a stream has 1,000 at most and a client that reads
// 1 byte/s must not hold one.
func (r *Replay) park(wanted bool) {
	if r.consumer == nil {
		return
	}
	if wanted {
		select {
		case r.parked <- struct{}{}:
			r.isParked = true
			return
		default:
		}
	}
	r.close()
}

func (r *Replay) unpark() {
	if r.isParked {
		<-r.parked
		r.isParked = false
	}
}

// Close deletes the consumer.
func (r *Replay) Close() {
	r.close()
	if !r.rest.IsZero() {
		r.leaveBehind()
	}
}

func (r *Replay) close() {
	r.unpark()
	if r.consumer != nil {
		r.consumer.Close()
		r.consumer = nil
	}
}
