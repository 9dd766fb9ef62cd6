package fanout

import (
	"github.com/nats-io/nats-server/v2/server/gsl"

	"sluice/functions/stream/feed/wire"
)

// group is the subscriptions of a shard that get the same bytes.
type group struct {
	view
	members []*Subscription
	hits    []int32 // indexes in the batch of the frames that it gets
}

// groupKey is what equal views have in common.
type groupKey struct {
	topics string
	wire   wire.Wire
}

func (v view) key() groupKey { return groupKey{v.topics.String(), v.wire} }

// routes says which groups of a shard get a frame. It belongs to the shard.
type routes struct {
	groups map[groupKey]*group
	match  *gsl.GenericSublist[*group]
	hit    func(*group) // given to match, made once

	current int32        // index in the batch of the frame that is matched
	wanted  bool         // some group gets it
	touched []*group     // that get a frame of the batch
	picked  []wire.Frame // room for those that one group gets
}

func newRoutes() *routes {
	r := &routes{groups: map[groupKey]*group{}, match: gsl.NewSublist[*group]()}
	r.hit = func(g *group) {
		r.wanted = true
		if n := len(g.hits); n > 0 && g.hits[n-1] == r.current {
			return // two topics of the group match
		}
		if len(g.hits) == 0 {
			r.touched = append(r.touched, g)
		}
		g.hits = append(g.hits, r.current)
	}
	return r
}

// route notes who gets the frame at that index of the batch, and reports
// whether anybody does.
func (r *routes) route(index int, f *wire.Frame) (wanted bool) {
	r.current, r.wanted = int32(index), false
	if f.IsGap() {
		for _, g := range r.groups {
			r.hit(g)
		}
	} else {
		r.match.Match(f.Topic, r.hit)
	}
	return r.wanted
}

// each gives every group that gets something its frames of the batch, which it
// must not keep. Then the next batch can be routed.
func (r *routes) each(batch []wire.Frame, deliver func(*group, []wire.Frame)) {
	for _, g := range r.touched {
		picked := r.picked[:0]
		for _, hit := range g.hits {
			picked = append(picked, batch[hit])
		}
		deliver(g, picked)
		clear(picked)
		r.picked, g.hits = picked, g.hits[:0]
	}
	clear(r.touched)
	r.touched = r.touched[:0]
}

// share is an equal view that the shard keeps already, so that there is one copy
// for all.
func (r *routes) share(v view) view {
	if g := r.groups[v.key()]; g != nil {
		return g.view
	}
	return v
}

// add makes sub a member of the group of its view.
func (r *routes) add(sub *Subscription) {
	key := sub.view.key()
	g := r.groups[key]
	if g == nil {
		g = &group{view: sub.view}
		r.groups[key] = g
		for _, filter := range g.topics.Filters() {
			_ = r.match.Insert(filter, g) // the grammar of topics is stricter than NATS's
		}
	}
	sub.seat.group, sub.seat.slot = g, len(g.members)
	g.members = append(g.members, sub)
}

// remove takes sub out of its group.
func (r *routes) remove(sub *Subscription) {
	g := sub.seat.group
	swapRemove(&g.members, sub.seat.slot, func(moved *Subscription, slot int) { moved.seat.slot = slot })
	sub.seat.group = nil
	if len(g.members) > 0 {
		return
	}
	delete(r.groups, g.key())
	for _, filter := range g.topics.Filters() {
		_ = r.match.Remove(filter, g)
	}
}

// wheelTicks is into how many parts a heartbeat interval is cut: a member gets
// its heartbeats in the part in which it joined, so that 10,000 clients are not
// written to at one moment.
const wheelTicks = 64

// wheel is the members of a shard by the part of the heartbeat interval in
// which they get theirs.
type wheel struct {
	members [wheelTicks][]*Subscription
	tick    int
}

// advance goes on to the next part, and gives its members.
func (w *wheel) advance() []*Subscription {
	w.tick = (w.tick + 1) % wheelTicks
	return w.members[w.tick]
}

func (w *wheel) add(sub *Subscription) {
	at := &w.members[w.tick]
	sub.seat.tick, sub.seat.spoke = w.tick, len(*at)
	*at = append(*at, sub)
}

func (w *wheel) remove(sub *Subscription) {
	swapRemove(&w.members[sub.seat.tick], sub.seat.spoke, func(moved *Subscription, spoke int) { moved.seat.spoke = spoke })
}

func (w *wheel) each(do func(*Subscription)) {
	for _, members := range w.members {
		for _, m := range members {
			do(m)
		}
	}
}

func swapRemove(list *[]*Subscription, i int, moved func(*Subscription, int)) {
	last := len(*list) - 1
	(*list)[i] = (*list)[last]
	moved((*list)[i], i)
	(*list)[last] = nil
	*list = (*list)[:last]
}
