package oracle

import (
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/publisher/event"
)

// Book collects what happens in a run. Its methods are safe for concurrent use.
type Book struct {
	start time.Time

	mu           sync.Mutex
	epochs       []Epoch
	acks         []Ack
	observations []Observation
	removals     []Removal
	jobs         []Job
	forgetful    []Span
	sent         map[Key]Time
	writers      []*Writer

	flow flow
}

// flow is how the log acknowledges.
type flow struct {
	last   Time // the last acknowledgement
	steady Time // since when there was no pause
	count  int
}

// pauseAfter is how long the log may acknowledge nothing and still be steady.
const pauseAfter = 2 * time.Second

// NewBook begins a run now.
func NewBook() *Book { return &Book{start: time.Now(), sent: map[Key]Time{}} }

// Now is the time of the run.
func (b *Book) Now() Time { return time.Since(b.start) }

// At is a moment in the time of the run.
func (b *Book) At(t time.Time) Time { return t.Sub(b.start) }

// Sent notes that an event is about to be sent for the first time.
func (b *Book) Sent(key Key) Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	b.sent[key] = now
	return now
}

// Acked notes that the log has acknowledged an event.
func (b *Book) Acked(a Ack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.At = b.Now()
	b.acks = append(b.acks, a)
	if a.At-b.flow.last > pauseAfter {
		b.flow.steady = a.At
	}
	b.flow.last = a.At
	b.flow.count++
}

// Flow is since when the log has acknowledged without a pause; ok is false when
// it does not now. count is of all acknowledgements.
func (b *Book) Flow() (since Time, ok bool, count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flow.steady, b.flow.count > 0 && b.Now()-b.flow.last <= pauseAfter, b.flow.count
}

// AckedAfter is the first acknowledgement at a moment or later.
func (b *Book) AckedAfter(at Time) (a Ack, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearchFunc(b.acks, at, func(a Ack, at Time) int { return int(a.At - at) })
	if i == len(b.acks) {
		return Ack{}, false
	}
	return b.acks[i], true
}

// Created notes a stream that was asked for at a moment and is there now.
func (b *Book) Created(id int64, asked Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epochs = append(b.epochs, Epoch{ID: id, From: asked})
}

// Deleting notes that the stream is about to be deleted.
func (b *Book) Deleting() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.epochs); n > 0 {
		b.epochs[n-1].Deleting = b.Now()
	}
}

// Deleted notes that it is gone.
func (b *Book) Deleted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.epochs); n > 0 {
		b.epochs[n-1].To = b.Now()
	}
}

// Epoch is the stream that there is.
func (b *Book) Epoch() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.epochs); n > 0 {
		return b.epochs[n-1].ID
	}
	return 0
}

// Observed notes what the log said of itself. What changed nothing is kept once
// at its first and once at its last time.
func (b *Book) Observed(o Observation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.observations); n > 1 && same(b.observations[n-1], o) && same(b.observations[n-2], o) {
		b.observations[n-1] = o
		return
	}
	b.observations = append(b.observations, o)
}

func same(a, b Observation) bool {
	a.Asked = b.Asked
	return a == b
}

// Removing notes that events of a topic are about to be removed from the middle.
func (b *Book) Removing(topic int, through uint64) {
	epoch := b.Epoch()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removals = append(b.removals, Removal{From: b.Now(), Epoch: epoch, Topic: topic, Through: through})
}

// JobDone notes a job that has ended well.
func (b *Book) JobDone(keys []Key, topic int, began Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, Job{Keys: keys, Topic: topic, Began: began, Done: b.Now()})
}

// Forgetful notes that the log may store a message id twice until remembers is
// called.
func (b *Book) Forgetful() (remembers func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := len(b.forgetful)
	b.forgetful = append(b.forgetful, Span{From: b.Now()})
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.forgetful[i].To = b.Now()
	}
}

// Last is the last that the log said of itself.
func (b *Book) Last() Observation {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.observations); n > 0 {
		return b.observations[n-1]
	}
	return Observation{}
}

// Writer writes the trace of one client.
type Writer struct {
	b     *Book
	mu    sync.Mutex
	trace Trace
}

// Client begins the trace of a client.
func (b *Book) Client(name string) *Writer {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Writer{b: b, trace: Trace{Name: name}}
	b.writers = append(b.writers, w)
	return w
}

// Connected begins a connection.
func (w *Writer) Connected(edge int, topics Topics, cursor event.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace.Conns = append(w.trace.Conns, Conn{Edge: edge, Topics: topics, Cursor: cursor, Opened: w.b.Now()})
}

// Closed ends it.
func (w *Writer) Closed(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.trace.Conns[len(w.trace.Conns)-1]
	c.Closed, c.Why = w.b.Now(), why
}

// Got notes a block of the current connection.
func (w *Writer) Got(s Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.At, s.Conn = w.b.Now(), int32(len(w.trace.Conns)-1)
	w.trace.Steps = append(w.trace.Steps, s)
}

// Record is all that has happened until now.
func (b *Book) Record(settled bool) *Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &Record{
		Epochs: slices.Clone(b.epochs), Acks: b.acks[:len(b.acks):len(b.acks)],
		Observations: slices.Clone(b.observations), Removals: slices.Clone(b.removals),
		Jobs: slices.Clone(b.jobs), Forgetful: slices.Clone(b.forgetful), Sent: maps.Clone(b.sent), Settled: settled,
	}
	for _, w := range b.writers {
		r.Traces = append(r.Traces, w.snapshot())
	}
	return r
}

// snapshot is the trace until now. Steps are only ever appended.
func (w *Writer) snapshot() Trace {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Trace{Name: w.trace.Name, Conns: slices.Clone(w.trace.Conns), Steps: w.trace.Steps[:len(w.trace.Steps):len(w.trace.Steps)]}
}
