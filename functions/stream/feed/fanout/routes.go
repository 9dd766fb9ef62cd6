package fanout

import (
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
)

// group is the subscriptions of a shard that get the same bytes.
type group struct {
	view
	form    *form
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
	forms  map[wire.Wire]*form
	match  topics.Index[*group]
	hit    func(*group) bool // given to match, made once

	current int32    // index in the batch of the frame that is matched
	topic   string   // of that frame; "" for a gap, which all get
	wanted  bool     // some group gets it
	touched []*group // that get a frame of the batch
}

func newRoutes() *routes {
	r := &routes{groups: map[groupKey]*group{}, forms: map[wire.Wire]*form{}}
	r.hit = func(g *group) bool {
		if g.topics.Denies(r.topic) {
			return false
		}
		r.wanted = true
		if n := len(g.hits); n > 0 && g.hits[n-1] == r.current {
			return false // two topics of the group match
		}
		if len(g.hits) == 0 {
			r.touched = append(r.touched, g)
		}
		g.hits = append(g.hits, r.current)
		return false
	}
	return r
}

// route notes who gets the frame at that index of the batch, and reports
// whether anybody does.
func (r *routes) route(index int, f *wire.Frame) (wanted bool) {
	r.current, r.topic, r.wanted = int32(index), f.Topic, false
	if f.IsGap() {
		for _, g := range r.groups {
			r.hit(g)
		}
	} else {
		r.match.Each(f.Topic, r.hit)
	}
	return r.wanted
}

// each gives every group that gets something, with the indexes of its frames in
// its hits. Then the next batch can be routed.
func (r *routes) each(deliver func(*group)) {
	for _, g := range r.touched {
		deliver(g)
		g.hits = g.hits[:0]
		g.form.used = true
	}
	clear(r.touched)
	r.touched = r.touched[:0]
	for _, f := range r.forms {
		f.forget()
	}
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
		g = &group{view: sub.view, form: r.form(sub.view.wire)}
		r.groups[key] = g
		for _, filter := range g.topics.Filters() {
			r.match.Add(filter, g)
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
		r.match.Remove(filter, g)
	}
	if g.form.groups--; g.form.groups == 0 {
		delete(r.forms, g.wire)
	}
}

// form is the form of a wire format, for one group more.
func (r *routes) form(w wire.Wire) *form {
	f := r.forms[w]
	if f == nil {
		f = &form{wire: w}
		r.forms[w] = f
	}
	f.groups++
	return f
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
