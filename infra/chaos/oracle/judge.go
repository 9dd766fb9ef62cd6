package oracle

import (
	"fmt"

	"sluice/publisher/event"
)

// Limits is how much a judge allows for.
type Limits struct {
	// Slack is for how long the log may still hold what a gap has passed over:
	// the edge has looked at the log before the client is told, and replicas
	// remove what is too old by clocks of their own.
	Slack Time
}

// Verdict is what Judge finds.
type Verdict struct {
	Violations []Violation
	// Events is how many events of acknowledged publishes were followed, over
	// all clients; Unresolved the acknowledgements that were not, because they
	// came while the stream was recreated.
	Events, Unresolved int
	// Conflicts are ids that NATS acknowledged for two different events. That is
	// NATS' own loss, and nothing is asked of them.
	Conflicts []event.ID
}

// Judge judges a record.
func Judge(r *Record, limits Limits) Verdict {
	t := known(r)
	v := Verdict{Violations: t.twice, Unresolved: t.unresolved, Conflicts: t.conflicts}
	content := map[event.ID]Key{}
	for i := range r.Traces {
		j := &judge{truth: t, limits: limits, record: r, trace: &r.Traces[i], client: i, content: content}
		j.follow()
		v.Violations = append(v.Violations, j.found...)
		v.Events += j.events
	}
	return v
}

// judge follows one client.
type judge struct {
	truth   *truth
	limits  Limits
	record  *Record
	trace   *Trace
	client  int
	content map[event.ID]Key // what any client got under an id

	begun  bool
	pos    event.ID
	high   event.ID // the highest event of the epoch that came
	step   int
	events int
	found  []Violation
}

func (j *judge) follow() {
	for i := range j.trace.Steps {
		j.step = i
		j.take(&j.trace.Steps[i])
	}
	if j.record.Settled && len(j.trace.Conns) > 0 {
		j.end()
	}
}

// take judges one block.
func (j *judge) take(s *Step) {
	switch s.Kind {
	case Garbled:
		j.report(Content, s.At, 1, s.ID, s.Gap.Text)
		return
	case Gap:
		j.gap(s)
	default:
		if j.begun {
			j.move(s)
		}
	}
	if s.Kind == Event {
		j.event(s)
	}
	j.begun, j.pos = true, s.ID
}

// move judges the way from the last position to the block's.
func (j *judge) move(s *Step) {
	switch {
	case s.ID.Epoch != j.pos.Epoch:
		j.report(Reordered, s.At, 1, s.ID, fmt.Sprintf("the epoch changed without a gap, from %s", short(j.pos)))
	case s.ID.Seq < j.pos.Seq, s.Kind == Event && s.ID.Seq == j.pos.Seq:
		if s.Kind != Event || !j.had(s.ID) {
			j.report(Reordered, s.At, 1, s.ID, fmt.Sprintf("%s after %s", s.Kind, short(j.pos)))
		}
	default:
		through := s.ID.Seq
		if s.Kind == Event {
			through--
		}
		j.pass(s, through)
	}
}

// had reports whether the client got the event before.
func (j *judge) had(id event.ID) bool {
	if id.Epoch == j.high.Epoch && id.Seq > j.high.Seq {
		return false
	}
	for i := j.step - 1; i >= 0; i-- {
		if s := &j.trace.Steps[i]; s.Kind == Event && s.ID == id {
			return true
		}
	}
	return false
}

// pass judges what lies between the position and through, of which the client
// got nothing and was told nothing.
func (j *judge) pass(s *Step, through uint64) {
	e := j.truth.epochs[j.pos.Epoch]
	if e == nil {
		return
	}
	topics := j.trace.Conns[s.Conn].Topics
	from := j.pos.Seq
	if j.high.Epoch == e.ID {
		from = max(from, j.high.Seq) // up to there all was followed before the position went back
	}
	for seq := from + 1; seq <= through && seq < uint64(len(e.events)); seq++ {
		st := e.events[seq]
		if !st.ok || !topics.Has(int(st.topic)) || e.removed(seq, st.topic, s.At) {
			continue
		}
		sin, where := SilentGap, "which the log had removed"
		if e.heldAfter(seq, s.At) {
			sin, where = Lost, "which the log still had"
		}
		j.report(sin, s.At, 1, event.ID{Epoch: e.ID, Seq: seq},
			fmt.Sprintf("passed over in silence, %s, by %s %s", where, s.Kind, short(s.ID)))
	}
}

// event judges an event for itself.
func (j *judge) event(s *Step) {
	j.events++
	if j.had(s.ID) {
		j.report(Duplicated, s.At, 1, s.ID, "came again")
	} else if s.ID.Epoch != j.high.Epoch || s.ID.Seq > j.high.Seq {
		j.high = s.ID
	}
	if !j.trace.Conns[s.Conn].Topics.Has(int(s.Topic)) {
		j.report(NotAsked, s.At, 1, s.ID, "a topic that was not asked for")
	}
	if first, ok := j.content[s.ID]; ok && first != s.Key {
		j.report(Content, s.At, 1, s.ID, fmt.Sprintf("event %x, and somebody got %x under the same id", s.Key, first))
		return
	}
	j.content[s.ID] = s.Key
	if there := j.truth.at(s.ID); there.ok && there.key != s.Key {
		j.report(Content, s.At, 1, s.ID, fmt.Sprintf("event %x, but the log acknowledged %x there", s.Key, there.key))
	} else if j.truth.misplaced(s.Key, s.ID) {
		j.report(Content, s.At, 1, s.ID, fmt.Sprintf("event %x cannot be there", s.Key))
	}
}

// gap judges a gap: whether it had to be, and what it passes over.
func (j *judge) gap(s *Step) {
	if !j.begun {
		return
	}
	from := uint64(0)
	switch reason := s.Gap.Reason; reason {
	case "expired":
		if s.ID.Epoch != j.pos.Epoch {
			j.report(FalseGap, s.At, 1, s.ID, "expired, but into another epoch")
			return
		}
		from = j.pos.Seq
	case "recreated":
		if why := j.recreated(s); why != "" {
			j.report(FalseGap, s.At, 1, s.ID, why)
			return
		}
	case "ahead":
		if e := j.truth.epochs[j.pos.Epoch]; e != nil && e.last >= j.pos.Seq {
			j.report(FalseGap, s.At, 1, j.pos, fmt.Sprintf("told ahead, but the log went up to %d", e.last))
			return
		}
		from = s.ID.Seq
	default:
		j.report(FalseGap, s.At, 1, s.ID, "told "+reason+" to a client with a good cursor")
		return
	}
	j.kept(s, from)
}

// recreated is why a gap that says so is wrong, "" when it is not.
func (j *judge) recreated(s *Step) string {
	old, next := j.truth.epochs[j.pos.Epoch], j.truth.epochs[s.ID.Epoch]
	switch {
	case next == nil:
		return "told recreated, into an epoch that never was"
	case s.ID.Epoch == j.pos.Epoch:
		return "told recreated, but it is the same stream"
	case old != nil && next.From < old.From:
		return "told recreated, back to an older stream"
	case old != nil && (old.Deleting == 0 || old.Deleting > s.At):
		return "told recreated, before the stream was deleted"
	}
	return ""
}

// kept reports what a gap passes over although the log still has it.
func (j *judge) kept(s *Step, from uint64) {
	e := j.truth.epochs[s.ID.Epoch]
	if e == nil {
		return
	}
	topics := j.trace.Conns[s.Conn].Topics
	for seq := from + 1; seq <= s.ID.Seq && seq < uint64(len(e.events)); seq++ {
		st := e.events[seq]
		by := s.At + j.limits.Slack
		if st.ok && topics.Has(int(st.topic)) && !e.removed(seq, st.topic, by) && e.heldAfter(seq, by) && !e.gone(seq, by) {
			j.report(FalseGap, s.At, 1, event.ID{Epoch: e.ID, Seq: seq},
				fmt.Sprintf("told %s, but the log had it %s later", s.Gap.Reason, j.limits.Slack))
			return // once for each gap
		}
	}
}

// end judges what never came.
func (j *judge) end() {
	last := int32(len(j.trace.Conns) - 1)
	at := Time(0)
	if n := len(j.trace.Steps); n > 0 {
		at = j.trace.Steps[n-1].At
	}
	now := j.current()
	switch {
	case now == nil:
		return
	case !j.begun:
		j.report(Lost, at, 1, event.ID{}, "never got a block")
		return
	}
	if now.ID != j.pos.Epoch {
		j.report(Lost, at, 1, j.pos, "never came to the stream that there is now")
		return
	}
	topics := j.trace.Conns[last].Topics
	for seq := j.pos.Seq + 1; seq < uint64(len(now.events)); seq++ {
		st := now.events[seq]
		if st.ok && topics.Has(int(st.topic)) && now.heldAfter(seq, at) {
			j.report(Lost, at, 1, event.ID{Epoch: now.ID, Seq: seq}, "never came")
		}
	}
}

// current is the stream at the end.
func (j *judge) current() *epochTruth {
	for _, e := range j.record.Epochs {
		if e.To == 0 {
			return j.truth.epochs[e.ID]
		}
	}
	return nil
}

// report notes a violation, as part of the last one if it is of the same kind
// and at the same place or right after it.
func (j *judge) report(sin Sin, at Time, count int, first event.ID, what string) {
	if n := len(j.found); n > 0 {
		last := &j.found[n-1]
		if last.Sin == sin && (last.Step == j.step || last.Step+last.Count == j.step && sin != FalseGap) {
			last.Count += count
			return
		}
	}
	j.found = append(j.found, Violation{
		Sin: sin, At: at, Client: j.client, Step: j.step, Count: count, First: first, Key: j.truth.at(first).key, What: what,
	})
}

var kindNames = map[Kind]string{
	Opened: "open", Event: "event", Heartbeat: "heartbeat", Told: "block", Gap: "gap", Garbled: "garbled block",
}

// String is the name of a kind.
func (k Kind) String() string { return kindNames[k] }

// short is an id for people: the epoch's last digits and the sequence.
func short(id event.ID) string { return fmt.Sprintf("%d/%d", id.Epoch%100000, id.Seq) }

// Short is an id for people.
func Short(id event.ID) string { return short(id) }
