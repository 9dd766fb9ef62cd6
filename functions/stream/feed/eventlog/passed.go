package eventlog

import (
	"slices"
	"time"

	"sluice/publisher/event"
)

const (
	// skew is how far the clocks of the servers may be apart.
	skew = 5 * time.Second
	// lead is how many events a follower may be ahead of its leader in what
	// both have to do to their stores, when it is not their age that says so.
	lead = 1000
)

// Verdict is what it means that a consumer passed over a part of the log.
type Verdict string

// The verdicts.
const (
	// Harmless: none of ours was there, or somebody deleted it on purpose.
	Harmless Verdict = "harmless"
	// Lost: the log no longer holds all that was passed over.
	Lost Verdict = "lost"
	// Doubtful: the log may hold what the consumer's server had removed already.
	// A consumer at the leader has to read it again.
	Doubtful Verdict = "doubtful"
)

// Jump is a part of the log that a consumer passed over: it gave the event
// before Next, or proved that there is none, where the one after Pos was due.
type Jump struct {
	Pos    event.ID
	Next   uint64    // sequence
	Since  time.Time // what is after Pos was stored then or later; zero is not known
	Server string    // where the consumer is
}

// Judge says what a jump means. s must have been asked for after the consumer
// made it: what the consumer's own server still has by then it had before.
//
// The leader's first sequence says nothing about another server. Each removes
// by its own clock what is older than MaxAge, and does in its own time what the
// limits of size ask for.
func (s State) Judge(j Jump) Verdict {
	from := j.Pos.Seq + 1
	switch {
	case j.Next <= from:
		return Harmless
	case s.FirstSeq >= j.Next:
		return Lost // all of it
	case s.Replicas <= 1 || j.Server == s.Leader:
		if s.FirstSeq > from {
			return Lost
		}
		return Harmless
	case s.FirstSeq > from, s.nearStart(from, j.Since), s.MaxAge > 0 && !s.young(j.Since):
		return Doubtful
	}
	return Harmless
}

// nearStart reports whether what follows is so near to the leader's first event
// that another server may lack it for good: under limits that held before and do
// not hold now, that one may have removed a little more.
func (s State) nearStart(from uint64, since time.Time) bool {
	hasRemoved := s.FirstSeq > 1
	return from < s.FirstSeq+lead || hasRemoved && !since.After(s.FirstTime.Add(skew))
}

// young reports whether no server can have removed by age what was stored at t
// or later.
func (s State) young(t time.Time) bool {
	if t.Before(s.FirstTime) {
		t = s.FirstTime // the leader holds nothing older
	}
	return s.Time.Before(t.Add(s.MaxAge - skew))
}

// mark says that what is after a position was stored then or later.
type mark struct {
	pos event.ID
	at  time.Time
}

func (m mark) before(pos event.ID) bool {
	return !m.at.IsZero() && m.pos.Epoch == pos.Epoch && m.pos.Seq <= pos.Seq
}

// marks are the ends of the log as it was asked for over its MaxAge, the oldest
// first: what came after one was stored later.
type marks []mark

// mostMarks bounds them. The more there are the nearer Since is to the truth.
const mostMarks = 256

// add notes a state.
func (m marks) add(s State) marks {
	now := mark{s.Position(s.LastSeq), s.Time}
	if len(m) > 0 && !m[len(m)-1].before(now.pos) {
		m = nil // another log, or one that went back
	}
	for len(m) > 0 && m[0].at.Before(s.Time.Add(-s.MaxAge)) {
		m = m[1:]
	}
	if len(m) > 0 && s.Time.Sub(m[len(m)-1].at) <= s.MaxAge/mostMarks {
		return m
	}
	return append(m, now)
}

// since is when what is after a position was stored at the earliest; zero when
// that is not known.
func (m marks) since(pos event.ID) time.Time {
	for _, k := range slices.Backward(m) {
		if k.before(pos) {
			return k.at
		}
	}
	return time.Time{}
}

// Jump is what a consumer at a server has made between a position and the event
// next. The position may be that of last, the last event that was read there.
func (l *Log) Jump(pos event.ID, next uint64, server string, last Stored) Jump {
	j := Jump{Pos: pos, Next: next, Server: server}
	if mark(last).before(pos) {
		j.Since = last.at
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := l.marks.since(pos); since.After(j.Since) {
		j.Since = since
	}
	return j
}

// Stored is when an event was stored. The zero value is none.
type Stored mark

// StoredAt says when an event was stored.
func StoredAt(id event.ID, t time.Time) Stored { return Stored{id, t} }
