package fanout

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const (
	// batchBytes is about how much of the ring a shard delivers at a time.
	batchBytes = 512 << 10
	// writesAtATime is after how many writes a shard lets others run. A write
	// may be a system call that the scheduler does not know of.
	writesAtATime = 32
	// patience is how long a subscription must be over its limits to be cut: a
	// burst that the client takes within that time cuts nobody. What waits is
	// the ring's, so patience costs no memory.
	patience = 250 * time.Millisecond
	// minBeat keeps a ticker from an interval of 0.
	minBeat = time.Millisecond
)

// shard delivers the ring's frames to a part of the subscriptions. Everything
// but the inbox belongs to its goroutine, which never waits for a client.
type shard struct {
	fan   *Fanout
	inbox inbox

	next     uint64          // ring index of the next frame
	pos      event.ID        // position before it
	routes   *routes         // which groups get a frame
	batch    []wire.Frame    // room for what is read of the ring
	joining  []*Subscription // whose place in the ring is still ahead of us
	wheel    wheel           // all members
	suspects []suspect       // over their limits, the oldest first
	beaten   atomic.Int64    // when it last gave heartbeats, or began; Unix nanoseconds
}

// suspect is a subscription that was over its limits, to be looked at again.
type suspect struct {
	sub *Subscription
	due time.Time
}

// seat is a subscription's place in its shard, which owns it.
type seat struct {
	group     *group // nil: it is no member
	slot      int    // in group.members
	tick      int    // of the wheel
	spoke     int    // in the wheel at tick
	suspected bool   // it is one of the suspects
}

// inbox is what others ask of a shard.
type inbox struct {
	signal chan struct{}
	mu     sync.Mutex
	tasks  []task
}

// task is one thing to do with a subscription: join, leave or drain.
type task struct {
	do  func(*shard, *Subscription)
	sub *Subscription
}

func newShard(f *Fanout) *shard {
	return &shard{fan: f, inbox: inbox{signal: make(chan struct{}, 1)}, routes: newRoutes()}
}

func (s *shard) wake() { notify(s.inbox.signal) }

// post asks the shard to do something with sub. It never blocks.
func (s *shard) post(do func(*shard, *Subscription), sub *Subscription) {
	s.inbox.mu.Lock()
	s.inbox.tasks = append(s.inbox.tasks, task{do, sub})
	s.inbox.mu.Unlock()
	s.wake()
}

// run works until stop is closed.
func (s *shard) run(stop <-chan struct{}) {
	beat := time.NewTicker(max(s.fan.cfg.HeartbeatInterval/wheelTicks, minBeat))
	defer beat.Stop()
	review := time.NewTicker(patience / 4)
	defer review.Stop()
	s.beaten.Store(time.Now().UnixNano())
	for {
		select {
		case <-stop:
			s.empty()
			return
		case <-s.inbox.signal:
			s.flush()
		case now := <-beat.C:
			s.heartbeats(now)
		case now := <-review.C:
			s.review(now)
		}
	}
}

// flush delivers all that the ring has.
func (s *shard) flush() {
	for {
		s.empty()
		frames, upTo, pos, ok := s.fan.ring.Read(s.batch[:0], s.next, ^uint64(0), batchBytes, nil)
		if !ok {
			s.skip()
			continue
		}
		done := upTo == s.next
		if !done {
			s.deliver(frames, upTo, pos)
		}
		clear(frames)
		s.batch, s.next, s.pos = frames, upTo, pos
		s.admit()
		if done {
			return
		}
	}
}

// empty does what others have asked for.
func (s *shard) empty() {
	s.inbox.mu.Lock()
	tasks := s.inbox.tasks
	s.inbox.tasks = nil
	s.inbox.mu.Unlock()
	for _, t := range tasks {
		t.do(s, t.sub)
	}
}

// deliver gives the batch to every group that it concerns.
func (s *shard) deliver(frames []wire.Frame, upTo uint64, pos event.ID) {
	for i := range frames {
		f := &frames[i]
		if wanted := s.routes.route(i, f); wanted && !f.IsGap() {
			s.fan.cfg.Metrics.Latency.Observe(time.Since(time.Unix(0, f.Time)).Seconds())
		}
	}
	s.routes.each(func(g *group) {
		sp := span{first: frames[g.hits[0]].Index, upTo: upTo, from: s.pos, pos: pos, events: len(g.hits), at: time.Now()}
		for _, hit := range g.hits {
			sp.bytes += len(frames[hit].Block)
		}
		s.deliverTo(g, frames, sp)
	})
}

func (s *shard) deliverTo(g *group, batch []wire.Frame, sp span) {
	var merged []byte
	written := 0
	for _, m := range g.members {
		if m.direct == nil || !m.life.is(Live) {
			m.tell(sp)
			continue
		}
		if merged == nil {
			merged = g.form.write(batch, g.hits)
		}
		m.deliver(merged, sp)
		if written++; written%writesAtATime == 0 {
			runtime.Gosched()
		}
	}
	s.fan.cfg.Metrics.Sent.Add(float64(written * sp.events))
}

// skip gives up frames that the ring lost before the shard came to them: the
// subscriptions fetch them from the log, each for itself.
func (s *shard) skip() {
	sp := span{first: s.next, from: s.pos, at: time.Now()}
	s.next, s.pos = s.fan.ring.Tail()
	sp.upTo, sp.pos = s.next, s.pos
	s.wheel.each(func(m *Subscription) { m.tell(sp) })
}

// join is the task that makes sub a member once the shard has come to its place
// in the ring; from then on it is told of everything after the shard's own
// place, and no more of what it was told of as a member before.
func join(s *shard, sub *Subscription) {
	s.drop(sub)
	s.joining = append(s.joining, sub)
}

func (s *shard) admit() {
	s.joining = slices.DeleteFunc(s.joining, func(sub *Subscription) bool {
		if sub.at.idx > s.next {
			return false
		}
		sub.view = s.routes.share(sub.view) // before joined: its pump goes on then
		if sub.joined(s.next) {
			s.routes.add(sub)
			s.wheel.add(sub)
		}
		return true
	})
}

// leave is the task that forgets sub, and closes it if nobody else serves it.
func leave(s *shard, sub *Subscription) {
	s.joining = slices.DeleteFunc(s.joining, func(j *Subscription) bool { return j == sub })
	s.drop(sub)
	sub.left()
}

// drop ends a membership, if there is one.
func (s *shard) drop(sub *Subscription) {
	if sub.seat.group != nil {
		s.wheel.remove(sub)
		s.routes.remove(sub)
	}
}

// drain is the task that sends sub away, at the shard's place in the log.
func drain(s *shard, sub *Subscription) {
	if sub.seat.group != nil {
		sub.drain(s.next, s.pos)
	}
}

// suspect has sub looked at when it has been over its limits for a while.
func (s *shard) suspect(sub *Subscription) {
	if !sub.seat.suspected {
		sub.seat.suspected = true
		s.suspects = append(s.suspects, suspect{sub, time.Now().Add(patience)})
	}
}

// review evicts the suspects that are due and still over their limits.
func (s *shard) review(now time.Time) {
	n := 0
	for ; n < len(s.suspects) && !s.suspects[n].due.After(now); n++ {
		s.suspects[n].sub.seat.suspected = false
		s.suspects[n].sub.evict()
	}
	s.suspects = slices.Delete(s.suspects, 0, n)
}

// heartbeats gives the members of the wheel's next tick one. Its id is the
// shard's place: all before it has been delivered, and is written first.
func (s *shard) heartbeats(now time.Time) {
	defer func() { s.beaten.Store(time.Now().UnixNano()) }() // now may be old after a long batch
	s.flush()
	members := s.wheel.advance()
	if len(members) == 0 {
		return
	}
	clients := s.fan.cfg.Clients()
	blocks := map[wire.Wire][]byte{}
	for _, m := range members {
		b := blocks[m.view.wire]
		if b == nil {
			b = m.view.wire.Heartbeat(s.pos, now, clients)
			blocks[m.view.wire] = b
		}
		m.beat(b, span{first: s.next, upTo: s.next, pos: s.pos, at: now})
	}
}
