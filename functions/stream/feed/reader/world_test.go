package reader_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/reader"
	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

// TestReaderTellsEveryEventOrItsLoss has a reader decide its way through random
// histories of a log on three servers, of which each removes what is too old by
// its own clock and when it likes. The reader wants every third event, or all.
func TestReaderTellsEveryEventOrItsLoss(t *testing.T) {
	t.Parallel()
	for _, every := range []uint64{1, 3} {
		t.Run(fmt.Sprintf("one of %d", every), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(every)
				t.Repeat(map[string]func(*rapid.T){
					"publish": w.publish,
					"time passes": func(t *rapid.T) {
						w.now = w.now.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "s")) * time.Second)
					},
					"expire": func(t *rapid.T) { w.expire(rapid.IntRange(0, len(w.servers)-1).Draw(t, "server")) },
					"age": func(t *rapid.T) { // of what was not read, and what comes then is young
						w.now = w.now.Add(time.Duration(rapid.IntRange(10, 20).Draw(t, "s")) * time.Second)
						w.expire(w.at)
						w.publish(t)
					},
					"read": func(t *rapid.T) {
						w.deliver(t)
						w.take(t)
					},
					"purge":   w.purge,
					"elect":   func(t *rapid.T) { w.leader = rapid.IntRange(0, len(w.servers)-1).Draw(t, "leader") },
					"deliver": w.deliver,
					"take":    w.take,
					"restart": func(t *rapid.T) { w.restart(t, rapid.IntRange(0, len(w.servers)-1).Draw(t, "at")) },
					"recreate": func(t *rapid.T) {
						w.forget()
						w.epoch++
					},
					"": w.check,
				})
			})
		})
	}
}

const worldAge = 20 * time.Second

// server is one replica: by how much its clock is fast, and what it still has.
type server struct {
	fast  time.Duration
	first uint64
}

// world is a log, its servers, a consumer at one of them, and a reader.
type world struct {
	every   uint64
	epoch   int64
	stored  []time.Time // of the sequences from 1 on, by the true clock
	now     time.Time
	servers []server
	leader  int
	purged  uint64

	at      int      // the consumer's server
	sent    uint64   // up to where it has looked
	waiting []uint64 // delivered, not yet taken

	pos      event.ID
	last     uint64 // the last event that was taken
	evidence *reader.Evidence
	told     map[uint64]bool // events of this log that were told or told as lost
	began    uint64          // where the reader began with this log
}

func newWorld(every uint64) *world {
	w := &world{every: every, now: time.Unix(1e9, 0), servers: []server{{0, 1}, {4 * time.Second, 1}, {2 * time.Second, 1}}}
	w.epoch = 1
	w.pos = reader.Start(w.state(), 10)
	return w
}

func (w *world) forget() {
	w.stored, w.waiting, w.purged = nil, nil, 0
	for i := range w.servers {
		w.servers[i].first = 1
	}
}

func (w *world) wanted(seq uint64) bool { return seq%w.every == 0 }

func (w *world) end() uint64 { return uint64(len(w.stored)) }

// state is what the leader answers.
func (w *world) state() eventlog.State {
	l := w.servers[w.leader]
	s := kept(w.epoch, l.first, w.end())
	s.Replicas, s.MaxAge, s.Leader, s.Time = len(w.servers), worldAge, fmt.Sprint(w.leader), w.now.Add(l.fast)
	if l.first <= w.end() {
		s.FirstTime = w.stored[l.first-1]
	}
	return s
}

func (w *world) publish(t *rapid.T) {
	for range rapid.IntRange(1, 9).Draw(t, "n") {
		w.stored = append(w.stored, w.now)
	}
}

func (w *world) expire(server int) {
	s := &w.servers[server]
	for s.first <= w.end() && !w.stored[s.first-1].Add(worldAge).After(w.now.Add(s.fast)) {
		s.first++
	}
}

// purge is done by all servers at once.
func (w *world) purge(t *rapid.T) {
	below := rapid.Uint64Range(1, w.end()+1).Draw(t, "below")
	for i := range w.servers {
		w.servers[i].first = max(w.servers[i].first, below)
	}
}

func (w *world) deliver(*rapid.T) {
	if w.epoch != w.pos.Epoch {
		return
	}
	for w.sent = max(w.sent, w.servers[w.at].first-1); w.sent < w.end(); {
		if w.sent++; w.wanted(w.sent) {
			w.waiting = append(w.waiting, w.sent)
			return
		}
	}
}

func (w *world) take(t *rapid.T) {
	if w.epoch != w.pos.Epoch || len(w.waiting) == 0 {
		return
	}
	next := w.waiting[0]
	w.waiting = w.waiting[1:]
	j := eventlog.Jump{Pos: w.pos, Next: next, Server: fmt.Sprint(w.at)}
	if w.last > 0 && w.last <= w.pos.Seq {
		j.Since = w.stored[w.last-1]
	}
	clear := w.evidence != nil && w.evidence.Clears(j)
	if next != w.pos.Seq+1 && !clear {
		now := w.state()
		way, err := reader.Pass(now, j)
		if errors.Is(err, reader.ErrDoubt) {
			w.restart(t, w.leader)
			return
		}
		require.NoError(t, err)
		w.evidence = reader.NewEvidence(now, len(w.waiting))
		w.gap(t, way)
	}
	require.Greater(t, next, w.pos.Seq)
	require.False(t, w.tell(next), "told before")
	w.pos.Seq, w.last = next, next
}

// restart is with a consumer at a server.
func (w *world) restart(t *rapid.T, at int) {
	way, err := reader.Settle(w.state(), w.pos, time.Minute)
	require.NoError(t, err)
	if way.Section {
		w.told, w.began, w.last = nil, way.At.Seq, 0
	}
	w.gap(t, way)
	w.pos, w.sent, w.waiting, w.evidence, w.at = way.At, way.At.Seq, nil, nil, at
}

func (w *world) gap(t *rapid.T, way reader.Course) {
	if way.Reason != wire.ReasonExpired {
		return
	}
	for seq := w.pos.Seq + 1; seq <= way.At.Seq; seq++ {
		require.False(t, w.wanted(seq) && w.servers[w.leader].first <= seq, "a gap passes over %d, which the log holds", seq)
		w.tell(seq)
	}
	w.pos = way.At
}

func (w *world) tell(seq uint64) (before bool) {
	if w.told == nil {
		w.told = map[uint64]bool{}
	}
	before = w.told[seq]
	w.told[seq] = true
	return before
}

func (w *world) check(t *rapid.T) {
	for seq := w.began + 1; seq <= w.pos.Seq; seq++ {
		if w.wanted(seq) {
			require.True(t, w.told[seq], "%d of up to %d was passed over without a word", seq, w.pos.Seq)
		}
	}
}
