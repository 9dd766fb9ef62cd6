package oracle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sluice/publisher/event"
)

// stored is an event of the log that was acknowledged.
type stored struct {
	key   Key
	topic int16
	ok    bool
}

// truth is what the log held.
type truth struct {
	epochs map[int64]*epochTruth
	// home is where each acknowledged key is; more than one place for an event
	// that a publisher sent to two lives of the stream.
	home map[Key][]event.ID
	sent map[Key]Time
	// Unresolved acknowledgements: nobody knows of which life of the stream.
	unresolved int
	// conflicts are ids that the log gave to two events.
	conflicts []event.ID
	// twice are the second places of events that jobs published.
	twice []Violation
}

// epochTruth is one life of the stream.
type epochTruth struct {
	Epoch
	events   []stored      // by sequence
	observed []Observation // in order of time
	removals []Removal
	last     uint64 // the highest sequence that is known
}

// known makes the truth from a record.
func known(r *Record) *truth {
	t := &truth{epochs: map[int64]*epochTruth{}, home: map[Key][]event.ID{}, sent: r.Sent}
	for _, e := range r.Epochs {
		t.epochs[e.ID] = &epochTruth{Epoch: e}
	}
	for _, o := range r.Observations {
		if e := t.epochs[o.Epoch]; e != nil {
			e.observed, e.last = append(e.observed, o), max(e.last, o.Last)
		}
	}
	for _, e := range t.epochs {
		slices.SortStableFunc(e.observed, func(a, b Observation) int { return int(a.Asked - b.Asked) })
		e.outlive()
	}
	for _, m := range r.Removals {
		if e := t.epochs[m.Epoch]; e != nil {
			e.removals = append(e.removals, m)
		}
	}
	seen := t.seen(r)
	for _, a := range r.Acks {
		if e := t.owner(r, a, seen); e != nil {
			t.store(e, a)
		} else {
			t.unresolved++
		}
	}
	for _, j := range r.Jobs {
		t.job(r, j, seen)
	}
	return t
}

// lingers is how long a stream may go on acknowledging after it was last seen.
const lingers = time.Second

// outlive is for a stream that was seen after its deletion was answered: a NATS
// node that is cut off hears of that late, and its stream acknowledges until then.
func (e *epochTruth) outlive() {
	if n := len(e.observed); e.To > 0 && n > 0 && e.observed[n-1].Asked > e.To {
		e.To = e.observed[n-1].Asked + lingers
	}
}

// job takes the events of a job for acknowledged where clients got them: each
// once in a life of the stream.
func (t *truth) job(r *Record, j Job, seen map[Key]map[event.ID]bool) {
	forgotten := slices.ContainsFunc(r.Forgetful, func(s Span) bool {
		return s.From <= j.Done && (s.To == 0 || s.To >= j.Began)
	})
	for _, key := range j.Keys {
		places := slices.SortedFunc(maps.Keys(seen[key]), func(a, b event.ID) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
		})
		for i, id := range places {
			if e := t.epochs[id.Epoch]; e != nil {
				t.store(e, Ack{Key: key, Topic: j.Topic, Seq: id.Seq})
			}
			if i > 0 && places[i-1].Epoch == id.Epoch && !forgotten {
				t.twice = append(t.twice, Violation{
					Sin: Duplicated, At: j.Done, Client: -1, Step: -1, Count: 1, First: id, Key: key, What: "a job's event is in the log twice",
				})
			}
		}
	}
}

// seen is which key clients got under which ids, for the keys of jobs, and of
// acknowledgements that could be of two lives of the stream.
func (t *truth) seen(r *Record) map[Key]map[event.ID]bool {
	doubtful := map[Key]bool{}
	for _, a := range r.Acks {
		if len(t.lives(r, a)) > 1 {
			doubtful[a.Key] = true
		}
	}
	for _, j := range r.Jobs {
		for _, key := range j.Keys {
			doubtful[key] = true
		}
	}
	seen := map[Key]map[event.ID]bool{}
	if len(doubtful) == 0 {
		return seen
	}
	for i := range r.Traces {
		for j := range r.Traces[i].Steps {
			if s := &r.Traces[i].Steps[j]; s.Kind == Event && doubtful[s.Key] {
				if seen[s.Key] == nil {
					seen[s.Key] = map[event.ID]bool{}
				}
				seen[s.Key][s.ID] = true
			}
		}
	}
	return seen
}

// lives are the lives of the stream that may have acknowledged a.
func (t *truth) lives(r *Record, a Ack) (all []*epochTruth) {
	for _, e := range r.Epochs {
		if e := t.epochs[e.ID]; e.From <= a.At && (e.To == 0 || e.To >= a.Sent) {
			all = append(all, e)
		}
	}
	return all
}

// owner is the life of the stream that acknowledged a, nil when that is not
// known.
func (t *truth) owner(r *Record, a Ack, seen map[Key]map[event.ID]bool) *epochTruth {
	lives := t.lives(r, a)
	if len(lives) == 1 {
		return lives[0]
	}
	var owner *epochTruth
	for _, e := range lives {
		if seen[a.Key][event.ID{Epoch: e.ID, Seq: a.Seq}] {
			if owner != nil {
				return nil
			}
			owner = e
		}
	}
	return owner
}

func (t *truth) store(e *epochTruth, a Ack) {
	if missing := int(a.Seq) + 1 - len(e.events); missing > 0 {
		e.events = append(e.events, make([]stored, missing)...)
	}
	at := &e.events[a.Seq]
	id := event.ID{Epoch: e.ID, Seq: a.Seq}
	if at.ok && at.key != a.Key {
		t.conflicts = append(t.conflicts, id)
		return
	}
	*at = stored{key: a.Key, topic: int16(a.Topic), ok: true}
	e.last = max(e.last, a.Seq)
	if !slices.Contains(t.home[a.Key], id) {
		t.home[a.Key] = append(t.home[a.Key], id)
	}
}

// at is what the log acknowledged at an id.
func (t *truth) at(id event.ID) stored {
	e := t.epochs[id.Epoch]
	if e == nil || id.Seq >= uint64(len(e.events)) {
		return stored{}
	}
	return e.events[id.Seq]
}

// heldAfter reports whether the log was seen to hold seq at a moment or later.
func (e *epochTruth) heldAfter(seq uint64, at Time) bool {
	for i := len(e.observed) - 1; i >= 0 && e.observed[i].Asked >= at; i-- {
		if o := &e.observed[i]; o.First <= seq && seq <= o.Last {
			return true
		}
	}
	return false
}

// gone reports whether the log had said, by a moment, that it did not hold seq any
// more. Another leader may hold it all the same, as replicas remove what is too
// old or too much each for itself: who was told that it is gone was told what
// the log said.
func (e *epochTruth) gone(seq uint64, by Time) bool {
	for _, o := range e.observed {
		if o.Asked > by {
			return false
		}
		if o.First > seq {
			return true
		}
	}
	return false
}

// removed reports whether an event had been removed from the middle by then.
func (e *epochTruth) removed(seq uint64, topic int16, by Time) bool {
	for _, r := range e.removals {
		if r.Topic == int(topic) && seq <= r.Through && r.From <= by {
			return true
		}
	}
	return false
}

// misplaced reports whether key cannot be at id: the life of the stream had
// ended before the event was first sent, or the log acknowledged it elsewhere.
func (t *truth) misplaced(key Key, id event.ID) bool {
	e := t.epochs[id.Epoch]
	if e == nil {
		return true
	}
	if sent, ok := t.sent[key]; ok && e.To > 0 && e.To < sent {
		return true
	}
	home := t.home[key]
	if len(home) == 0 || slices.Contains(home, id) {
		return false
	}
	// Once in each life of the stream: a second place in the same one is wrong
	// only if the log gave that place to another event.
	there := t.at(id)
	return there.ok && there.key != key
}
