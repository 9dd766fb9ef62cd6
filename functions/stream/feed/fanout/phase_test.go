package fanout

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/natsembed/natstest"
)

// TestEveryTransition is the whole table; what is not in it changes nothing.
func TestEveryTransition(t *testing.T) {
	want := map[Phase]map[signal]Phase{
		Opening:    {opened: CatchingUp, sentAway: Draining, terminated: Ended},
		CatchingUp: {caughtUp: Pending, overtaken: CatchingUp, sentAway: Draining, terminated: Ended},
		Pending:    {taken: Live, overtaken: CatchingUp, sentAway: Draining, terminated: Ended},
		Live:       {waits: Pending, sentAway: Draining, terminated: Ended},
		Draining:   {terminated: Ended},
		Ended:      {},
	}
	for from := Opening; from < phases; from++ {
		for s := range signals {
			var l life
			l.phase.Store(uint32(from))
			to, known := want[from][s]
			if !known {
				to = from
			}
			assert.Equal(t, known, l.on(s), "%s, signal %d", from, s)
			assert.True(t, l.is(to), "%s, signal %d", from, s)
		}
	}
}

// TestTheDrawnLifeIsTheTable: ARCHITECTURE.md draws every transition and no
// other one.
func TestTheDrawnLifeIsTheTable(t *testing.T) {
	text, err := os.ReadFile("../../../../ARCHITECTURE.md")
	require.NoError(t, err)
	_, drawing, ok := strings.Cut(string(text), "stateDiagram-v2\n")
	require.True(t, ok)
	drawing, _, ok = strings.Cut(drawing, "```")
	require.True(t, ok)
	var drawn []string
	for _, arrow := range regexp.MustCompile(`(\w+|\[\*\]) --> (\w+|\[\*\])`).FindAllString(drawing, -1) {
		if arrow != "[*] --> Opening" && arrow != "Ended --> [*]" && !slices.Contains(drawn, arrow) {
			drawn = append(drawn, arrow)
		}
	}
	var table []string
	for _, ways := range transitions {
		for from, to := range ways {
			if arrow := from.String() + " --> " + to.String(); !slices.Contains(table, arrow) {
				table = append(table, arrow)
			}
		}
	}
	assert.ElementsMatch(t, table, drawn)
}

// TestAClientsLife goes through every phase, each seen by its owner.
func TestAClientsLife(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 4)
	s.publish(10, 10)
	out, sub := s.client(0)
	require.True(t, sub.life.is(CatchingUp), "it waits for its shard")
	s.live()
	require.True(t, sub.life.is(Live))
	s.want(out, 0)

	out.close()
	s.publish(1, 10)
	s.shard.flush()
	require.True(t, sub.life.is(Pending), "its socket refused")
	s.publish(20, 10) // more than the ring keeps
	s.shard.flush()
	out.open()
	s.want(out, 0) // through the log
	s.live()

	sub.Drain("shutdown")
	s.shard.empty()
	e := s.ended(out)
	assert.ErrorIs(t, e.Err, ErrDrained)
	assert.Equal(t, "shutdown", e.Reason)
	assert.Equal(t, position(s.last), e.LastID)
	assert.True(t, sub.life.is(Ended))
	assert.True(t, out.clean)
	assert.Regexp(t, block(s.last, "system")+`\ndata: {"type":"drain".*"reason":"shutdown"}\nretry: \d+\n\n$`, out.text())
}

// TestPendingAgainstAModel: what counts is what came after the first refusal
// and was not written since.
func TestPendingAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type waiting struct {
			index uint64
			bytes int
		}
		var (
			p     pending
			model []waiting // that count
			next  uint64    // index of the frame to come
			read  uint64    // index of the first one that is not written
			size  = map[uint64]int{}
			holds bool
			since = ^uint64(0) // index from which on events count
		)
		t.Repeat(map[string]func(*rapid.T){
			"events come": func(t *rapid.T) {
				n, bytes := rapid.IntRange(1, 5).Draw(t, "events"), 0
				for range n {
					size[next] = rapid.IntRange(1, 100).Draw(t, "bytes")
					bytes += size[next]
					if next >= since {
						model = append(model, waiting{next, size[next]})
					}
					next++
				}
				p.add(n, bytes)
			},
			"the socket refuses": func(*rapid.T) {
				p.refuse(next)
				if holds && since == ^uint64(0) {
					since = next
				}
			},
			"one is written": func(*rapid.T) {
				if read == next {
					return
				}
				p.take(read, size[read])
				if len(model) > 0 && model[0].index == read {
					model = model[1:]
				}
				read++
			},
			"all is taken": func(*rapid.T) {
				p.clear()
				model, read, since = nil, next, ^uint64(0)
			},
			"it has caught up": func(*rapid.T) { p.hold(); holds = true },
			"it catches up again": func(*rapid.T) {
				p.suspend()
				model, holds, since = nil, false, ^uint64(0)
			},
			"": func(t *rapid.T) {
				bytes := 0
				for _, w := range model {
					bytes += w.bytes
				}
				require.Equal(t, len(model), p.msgs)
				require.Equal(t, bytes, p.bytes)
				l := Limits{Msgs: rapid.IntRange(1, 10).Draw(t, "msgs"), Bytes: rapid.Int64Range(1, 500).Draw(t, "limit")}
				require.Equal(t, len(model) > l.Msgs || len(model) > 1 && int64(bytes) > l.Bytes, p.over(l))
			},
		})
	})
}
