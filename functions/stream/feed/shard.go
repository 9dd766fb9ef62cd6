package feed

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server/gsl"

	"sluice/publisher/event"
)

const (
	// batchBytes is about how much of the ring a shard hands on at a time.
	batchBytes = 512 << 10
	// beatSlices is into how many parts a heartbeat interval is cut: a member
	// gets its heartbeats in the part in which it joined, so that 10,000
	// clients are not written to at one moment.
	beatSlices = 64
	// triesAtATime is after how many writes a shard lets others run. A try may
	// be a system call that the scheduler does not know of.
	triesAtATime = 32
	// patience is how long a subscription must be over its limits to be cut: a
	// burst that the client takes within that time cuts nobody. What waits is
	// the ring's, so patience costs no memory.
	patience = 250 * time.Millisecond
)

// shard hands the ring's frames to a part of the subscriptions. Everything but
// the inbox belongs to its goroutine, which never waits for a client.
type shard struct {
	feed   *Feed
	signal chan struct{}

	mu    sync.Mutex
	inbox []order

	next    uint64   // ring index of the next frame
	pos     event.ID // position before it
	groups  map[groupKey]*group
	match   *gsl.GenericSublist[*group]
	hit     func(*group)                // given to match, made once
	joining []*Subscription             // whose place in the ring is still ahead of us
	wheel   [beatSlices][]*Subscription // all members
	tick    int                         // of the wheel
	accused []accused                   // over their limits, the oldest first
	batch   []frame
	picked  []frame  // those of the batch that a group gets
	current int      // index in batch of the frame being matched
	wanted  bool     // some group matches it
	touched []*group // with hits in the batch
}

// accused is a subscription that was over its limits, to be judged at due.
type accused struct {
	sub *Subscription
	due time.Time
}

// order is what others ask of a shard.
type order struct {
	do  func(*shard, *Subscription)
	sub *Subscription
}

type groupKey struct {
	topics string
	enc    Encoding
}

// group is the subscriptions of a shard that get the same bytes.
type group struct {
	key     groupKey
	topics  *Topics
	members []*Subscription
	hits    []int32 // indexes in the batch
}

func newShard(f *Feed) *shard {
	s := &shard{
		feed:   f,
		signal: make(chan struct{}, 1),
		groups: map[groupKey]*group{},
		match:  gsl.NewSublist[*group](),
	}
	s.hit = func(g *group) {
		s.wanted = true
		if n := len(g.hits); n > 0 && g.hits[n-1] == int32(s.current) {
			return // two topics of the group match
		}
		if len(g.hits) == 0 {
			s.touched = append(s.touched, g)
		}
		g.hits = append(g.hits, int32(s.current))
	}
	return s
}

func (s *shard) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// post asks the shard to do something with sub. It never blocks.
func (s *shard) post(do func(*shard, *Subscription), sub *Subscription) {
	s.mu.Lock()
	s.inbox = append(s.inbox, order{do, sub})
	s.mu.Unlock()
	s.wake()
}

// run works until stop is closed.
func (s *shard) run(stop <-chan struct{}) {
	beat := time.NewTicker(max(s.feed.cfg.HeartbeatInterval/beatSlices, time.Millisecond))
	defer beat.Stop()
	review := time.NewTicker(patience / 4)
	defer review.Stop()
	for {
		select {
		case <-stop:
			s.obey()
			return
		case <-s.signal:
			s.catchUp()
		case now := <-beat.C:
			s.heartbeats(now)
		case now := <-review.C:
			s.review(now)
		}
	}
}

// catchUp hands on all that the ring has.
func (s *shard) catchUp() {
	for {
		s.obey()
		frames, upTo, pos, ok := s.feed.ring.read(s.batch[:0], s.next, ^uint64(0), batchBytes, nil)
		if !ok {
			s.overrun()
			continue
		}
		done := upTo == s.next
		if !done {
			s.route(frames, upTo, pos)
		}
		clear(frames)
		s.batch, s.next, s.pos = frames, upTo, pos
		s.admit()
		if done {
			return
		}
	}
}

// obey carries out what others asked.
func (s *shard) obey() {
	s.mu.Lock()
	orders := s.inbox
	s.inbox = nil
	s.mu.Unlock()
	for _, o := range orders {
		o.do(s, o.sub)
	}
}

// route hands the batch to every group that it concerns.
func (s *shard) route(frames []frame, upTo uint64, pos event.ID) {
	s.touched = s.touched[:0]
	for i := range frames {
		s.current = i
		f := &frames[i]
		if f.isGap() {
			for _, g := range s.groups {
				s.hit(g)
			}
			continue
		}
		s.wanted = false
		if s.match.Match(f.topic, s.hit); s.wanted {
			s.feed.metrics.latency.Observe(time.Since(time.Unix(0, f.time)).Seconds())
		}
	}
	for _, g := range s.touched {
		s.deliver(g, frames, upTo, pos)
		g.hits = g.hits[:0]
	}
}

func (s *shard) deliver(g *group, frames []frame, upTo uint64, pos event.ID) {
	picked := s.picked[:0]
	size := 0
	for _, hit := range g.hits {
		picked = append(picked, frames[hit])
		size += len(frames[hit].block)
	}
	defer func() {
		clear(picked)
		s.picked = picked
	}()
	h := handful{
		first: picked[0].index, upTo: upTo, from: s.pos, pos: pos,
		events: len(picked), bytes: size, at: time.Now(),
	}
	var joined []byte
	tried := 0
	for _, m := range g.members {
		if m.direct == nil || m.busy.Load() {
			m.announce(h)
			continue
		}
		if joined == nil {
			joined = g.key.enc.join(s.feed.cfg.Encoder, picked)
		}
		m.try(joined, h)
		if tried++; tried%triesAtATime == 0 {
			runtime.Gosched()
		}
	}
	s.feed.metrics.sent.Add(float64(tried * len(picked)))
}

// overrun gives up frames that the ring lost before the shard came to them:
// the subscriptions fetch them from the log, each for itself.
func (s *shard) overrun() {
	h := handful{first: s.next, from: s.pos, at: time.Now()}
	s.next, s.pos = s.feed.ring.tail()
	h.upTo, h.pos = s.next, s.pos
	for _, members := range s.wheel {
		for _, m := range members {
			m.announce(h)
		}
	}
}

// join makes sub a member once the shard has come to its place in the ring;
// from then on it is told of everything behind the shard's own place, and no
// more of what it was told of as a member before.
func (s *shard) join(sub *Subscription) {
	s.drop(sub)
	s.joining = append(s.joining, sub)
}

func (s *shard) admit() {
	s.joining = slices.DeleteFunc(s.joining, func(sub *Subscription) bool {
		if sub.idx > s.next {
			return false
		}
		key := groupKey{sub.topics.key, sub.enc}
		if g := s.groups[key]; g != nil {
			sub.topics = g.topics // one copy for all
		}
		if sub.joined(s.next) {
			s.add(sub, key)
		}
		return true
	})
}

func (s *shard) add(sub *Subscription, key groupKey) {
	g := s.groups[key]
	if g == nil {
		g = &group{key: key, topics: sub.topics}
		s.groups[key] = g
		for _, filter := range g.topics.filters {
			_ = s.match.Insert(filter, g) // the grammar of topics is stricter than NATS's
		}
	}
	beat := &s.wheel[s.tick]
	sub.group, sub.slot, sub.tick, sub.place = g, len(g.members), s.tick, len(*beat)
	g.members = append(g.members, sub)
	*beat = append(*beat, sub)
}

// leave forgets sub, and closes it if nobody else serves it.
func (s *shard) leave(sub *Subscription) {
	s.joining = slices.DeleteFunc(s.joining, func(j *Subscription) bool { return j == sub })
	s.drop(sub)
	sub.left()
}

// drop ends a membership, if there is one.
func (s *shard) drop(sub *Subscription) {
	if g := sub.group; g != nil {
		swapRemove(&g.members, sub.slot, func(m *Subscription, i int) { m.slot = i })
		swapRemove(&s.wheel[sub.tick], sub.place, func(m *Subscription, i int) { m.place = i })
		sub.group = nil
		if len(g.members) == 0 {
			delete(s.groups, g.key)
			for _, filter := range g.topics.filters {
				_ = s.match.Remove(filter, g)
			}
		}
	}
}

// rouse has sub look at what is asked of it, at the shard's place in the log.
func (s *shard) rouse(sub *Subscription) {
	if sub.group != nil {
		sub.rouse(s.next, s.pos)
	}
}

func swapRemove(list *[]*Subscription, i int, moved func(*Subscription, int)) {
	last := len(*list) - 1
	(*list)[i] = (*list)[last]
	moved((*list)[i], i)
	(*list)[last] = nil
	*list = (*list)[:last]
}

// suspect has sub judged when it has been over its limits for a while.
func (s *shard) suspect(sub *Subscription) {
	if !sub.suspected {
		sub.suspected = true
		s.accused = append(s.accused, accused{sub, time.Now().Add(patience)})
	}
}

func (s *shard) review(now time.Time) {
	n := 0
	for ; n < len(s.accused) && !s.accused[n].due.After(now); n++ {
		s.accused[n].sub.suspected = false
		s.accused[n].sub.judge()
	}
	s.accused = slices.Delete(s.accused, 0, n)
}

// heartbeats gives the members of the next part one. Its id is the shard's
// place: all before it has been handed on, and is written first.
func (s *shard) heartbeats(now time.Time) {
	s.catchUp()
	s.tick = (s.tick + 1) % beatSlices
	members := s.wheel[s.tick]
	if len(members) == 0 {
		return
	}
	block := s.feed.cfg.Encoder.AppendHeartbeat(nil, s.pos, now, s.feed.cfg.Clients())
	wrapped := map[Encoding][]byte{}
	for _, m := range members {
		b := wrapped[m.enc]
		if b == nil {
			b = m.enc.wrap(block)
			wrapped[m.enc] = b
		}
		m.heartbeat(b, handful{first: s.next, upTo: s.next, pos: s.pos, at: now})
	}
}
