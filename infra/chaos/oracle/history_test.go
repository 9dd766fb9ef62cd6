package oracle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

const (
	slack  = 10 * time.Second
	topics = 4
	// firstEpoch and secondEpoch are two lives of the stream.
	firstEpoch, secondEpoch = 1000, 2000
)

func at(seconds float64) oracle.Time { return oracle.Time(seconds * float64(time.Second)) }

// history makes a run by hand: a clock that goes on by a hundredth of a second
// with each thing that happens, a log, and one client.
type history struct {
	record oracle.Record
	now    oracle.Time
	epoch  int64
	first  uint64
	last   uint64
	key    oracle.Key
	keys   map[event.ID]oracle.Key
	topic  map[event.ID]int
}

func newHistory() *history {
	h := &history{epoch: firstEpoch, first: 1, keys: map[event.ID]oracle.Key{}, topic: map[event.ID]int{}}
	h.record.Sent = map[oracle.Key]oracle.Time{}
	h.record.Epochs = []oracle.Epoch{{ID: firstEpoch}}
	h.record.Traces = []oracle.Trace{{Name: "a client"}}
	h.connect(all(topics))
	return h
}

func all(n int) oracle.Topics {
	t := make(oracle.Topics, n)
	for i := range t {
		t[i] = true
	}
	return t
}

func (h *history) tick() oracle.Time {
	h.now += at(0.01)
	return h.now
}

func (h *history) id(seq uint64) event.ID { return event.ID{Epoch: h.epoch, Seq: seq} }

// publish has the log acknowledge an event.
func (h *history) publish(topic int) {
	h.key++
	h.last++
	sent := h.tick()
	h.record.Sent[h.key] = sent
	h.record.Acks = append(h.record.Acks, oracle.Ack{Key: h.key, Topic: topic, Seq: h.last, Sent: sent, At: h.tick()})
	h.keys[h.id(h.last)], h.topic[h.id(h.last)] = h.key, topic
}

// look has the log say what it holds.
func (h *history) look() {
	h.record.Observations = append(h.record.Observations, oracle.Observation{Asked: h.tick(), Epoch: h.epoch, First: h.first, Last: h.last})
}

// expire has retention remove all before a sequence.
func (h *history) expire(first uint64) {
	h.first = first
	h.look()
}

// recreate has the stream deleted and created again.
func (h *history) recreate() {
	e := &h.record.Epochs[0]
	e.Deleting = h.tick()
	e.To = h.tick()
	h.epoch, h.first, h.last = secondEpoch, 1, 0
	h.record.Epochs = append(h.record.Epochs, oracle.Epoch{ID: secondEpoch, From: h.tick()})
}

func (h *history) trace() *oracle.Trace { return &h.record.Traces[0] }

// connect has the client connect with topics.
func (h *history) connect(topics oracle.Topics) {
	h.trace().Conns = append(h.trace().Conns, oracle.Conn{Topics: topics, Opened: h.tick()})
}

func (h *history) step(s oracle.Step) {
	s.At, s.Conn = h.tick(), int32(len(h.trace().Conns)-1)
	h.trace().Steps = append(h.trace().Steps, s)
}

// open is the first block of a connection.
func (h *history) open(seq uint64) { h.step(oracle.Step{Kind: oracle.Opened, ID: h.id(seq)}) }

// deliver gives the client events.
func (h *history) deliver(seqs ...uint64) {
	for _, seq := range seqs {
		id := h.id(seq)
		h.step(oracle.Step{Kind: oracle.Event, ID: id, Key: h.keys[id], Topic: int16(h.topic[id])})
	}
}

func (h *history) beat(seq uint64) { h.step(oracle.Step{Kind: oracle.Heartbeat, ID: h.id(seq)}) }

// gap tells the client that it goes on after a sequence.
func (h *history) gap(reason string, seq uint64) {
	h.step(oracle.Step{Kind: oracle.Gap, ID: h.id(seq), Gap: &oracle.GapInfo{Reason: reason}})
}

// later has time go by.
func (h *history) later(d time.Duration) {
	h.now += d
	h.look()
}

// verdict is what the oracle finds: how many events each sin concerns.
func (h *history) verdict(settled bool) oracle.Counts {
	h.record.Settled = settled
	return oracle.Count(oracle.Judge(&h.record, oracle.Limits{Slack: slack}).Violations)
}

// only is the counts of one sin.
func only(s oracle.Sin, n int) (c oracle.Counts) {
	c[s] = n
	return c
}

// published is a history with some events on all topics in turn, all kept.
func published(n int) *history {
	h := newHistory()
	for i := range n {
		h.publish(i % topics)
	}
	h.look()
	h.open(0)
	return h
}

// A history that kept the promise, drawn: what is published, expires, is
// delivered, and how the client comes and goes.
func healthy(t *rapid.T) *history {
	h := newHistory()
	h.open(0)
	pos := uint64(0) // of the client
	asked := all(topics)
	forward := func() {
		for pos < h.last {
			pos++
			if asked.Has(h.topic[h.id(pos)]) {
				h.deliver(pos)
			}
		}
	}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		switch rapid.IntRange(0, 6).Draw(t, "step") {
		case 0, 1, 2:
			for range rapid.IntRange(1, 10).Draw(t, "published") {
				h.publish(rapid.IntRange(0, topics-1).Draw(t, "topic"))
			}
		case 3:
			forward()
			h.beat(pos)
		case 4:
			asked = make(oracle.Topics, topics)
			asked[rapid.IntRange(0, topics-1).Draw(t, "asked")] = true
			h.connect(asked)
			h.open(pos)
		case 5:
			if h.last > h.first {
				h.expire(h.first + uint64(rapid.IntRange(0, int(h.last-h.first)).Draw(t, "expired")))
			}
			if pos+1 < h.first {
				h.gap("expired", h.first-1)
				pos = h.first - 1
			}
		case 6:
			if h.epoch == firstEpoch {
				h.recreate()
				h.gap("recreated", 0)
				pos = 0
			}
		}
	}
	forward()
	h.beat(pos)
	h.later(time.Minute)
	return h
}

func TestAHealthyHistoryIsNotBlamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := healthy(t)
		require.Equal(t, oracle.Counts{}, h.verdict(true))
	})
}

// In every healthy history, every event that is taken out of the middle, comes
// twice, or has another content is found.
func TestEveryBrokenDeliveryIsFound(t *testing.T) {
	breaks := map[string]struct {
		sins  []oracle.Sin // one of them must be found
		apply func(t *rapid.T, steps []oracle.Step, i int) []oracle.Step
	}{
		"missing": {[]oracle.Sin{oracle.Lost, oracle.SilentGap}, func(_ *rapid.T, steps []oracle.Step, i int) []oracle.Step {
			return append(steps[:i:i], steps[i+1:]...)
		}},
		"twice": {[]oracle.Sin{oracle.Duplicated}, func(t *rapid.T, steps []oracle.Step, i int) []oracle.Step {
			again := rapid.IntRange(i+1, len(steps)).Draw(t, "again at")
			for j := i; j < again; j++ {
				if steps[j].ID.Epoch != steps[i].ID.Epoch {
					again = j
					break
				}
			}
			return append(append(steps[:again:again], steps[i]), steps[again:]...)
		}},
		"another content": {[]oracle.Sin{oracle.Content}, func(_ *rapid.T, steps []oracle.Step, i int) []oracle.Step {
			steps[i].Key += 1000
			return steps
		}},
		"not asked for": {[]oracle.Sin{oracle.NotAsked}, func(_ *rapid.T, steps []oracle.Step, i int) []oracle.Step {
			steps[i].Topic = topics
			return steps
		}},
	}
	for name, b := range breaks {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := healthy(t)
				steps := h.trace().Steps
				var events []int
				for i, s := range steps {
					if s.Kind == oracle.Event {
						events = append(events, i)
					}
				}
				if len(events) == 0 {
					t.Skip("no event came")
				}
				i := rapid.SampledFrom(events).Draw(t, "broken")
				h.trace().Steps = b.apply(t, steps, i)
				counts := h.verdict(true)
				found := 0
				for _, s := range b.sins {
					found += counts[s]
				}
				require.Positive(t, found, "%s", counts)
			})
		})
	}
}
