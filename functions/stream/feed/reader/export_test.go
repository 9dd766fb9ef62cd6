package reader

import (
	"log/slog"
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// NewImpatient is New for a reader that waits less before it gives its consumer
// up.
func NewImpatient(cfg Config) *Reader {
	r := New(cfg)
	r.timing = timing{beat: 200 * time.Millisecond, watchEvery: 100 * time.Millisecond, stuckAfter: time.Second}
	return r
}

// Course is a reader's course.
type Course struct {
	Reason  wire.Reason
	At      event.ID
	Section bool
}

func exported(c course, err error) (Course, error) {
	return Course{Reason: c.reason, At: c.at, Section: c.section}, err
}

// The decisions, with the timing of New.
var (
	Start  = start
	Watch  = usual.watch
	Silent = usual.silent
)

// Progress is a reader's progress.
type Progress = progress

// StillFor is for how long the reader lags without moving.
func (p *Progress) StillFor(now eventlog.State, pos event.ID, t time.Time) time.Duration {
	return p.stillFor(now, pos, t)
}

// ErrDoubt is why a reader goes on with a consumer at the log's leader.
var ErrDoubt = errDoubt

// ErrRecreated is what a reader says of a log that is another one.
var ErrRecreated = errRecreated

// Settle is what a restart begins with.
func Settle(now eventlog.State, pos event.ID, shortFor time.Duration) (Course, error) {
	return exported(usual.settle(now, pos, shortFor))
}

// Pass is what a jump means.
func Pass(now eventlog.State, j eventlog.Jump) (Course, error) { return exported(pass(now, j)) }

// Evidence is what is known of the log.
type Evidence struct{ e evidence }

// NewEvidence holds for so many messages.
func NewEvidence(now eventlog.State, messages int) *Evidence {
	return &Evidence{evidence{now: now, messages: messages}}
}

// Clears is for the jump of the next message.
func (e *Evidence) Clears(j eventlog.Jump) bool {
	e.e.spend()
	return e.e.clears(j)
}

// Strays are what a reader says of events without a topic.
type Strays struct{ s strays }

// NewStrays warns as New's reader does.
func NewStrays(logger *slog.Logger) *Strays { return &Strays{newStrays(logger)} }

// Note is for one event.
func (s *Strays) Note(subject string) { s.s.note(subject) }
