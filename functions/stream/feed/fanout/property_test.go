package fanout

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// client is one of a property test's clients.
type client struct {
	*socket
	after  uint64 // the position at which it began
	topics *topics.Set
}

// TestEveryClientGetsItsEventsOnceInOrder: whatever ring, shard and sockets do
// meanwhile, and no heartbeat says more than was written before it.
func TestEveryClientGetsItsEventsOnceInOrder(t *testing.T) {
	natstest.CheckGoroutines(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := newStepped(t, rapid.IntRange(1, 40).Draw(rt, "RingEvents"))
		topicOf := map[uint64]string{}
		var clients []*client
		some := func(rt *rapid.T) *client {
			return clients[rapid.IntRange(0, len(clients)-1).Draw(rt, "client")]
		}
		actions := map[string]func(*rapid.T){
			"events come": func(rt *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(rt, "events") {
					topic := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "topic")
					s.add(topic, []byte("1"))
					topicOf[s.last] = topic
				}
			},
			"the shard moves":          func(*rapid.T) { s.shard.flush() },
			"the shard does its tasks": func(*rapid.T) { s.shard.empty() },
			"a client comes": func(rt *rapid.T) {
				if len(clients) == 4 {
					return
				}
				c := &client{
					socket: &socket{ended: make(chan End, 2)},
					after:  rapid.Uint64Range(0, s.last).Draw(rt, "after"),
					topics: set(t, rapid.SampledFrom([]string{">", "a"}).Draw(rt, "topics")),
				}
				sub, err := s.fanout.Subscribe(c.topics, encoder)
				require.NoError(rt, err)
				sub.Open(position(c.after), wire.Open{Resumed: wire.ResumedComplete})
				sub.Go(c.socket, nil, func(e End) { c.ended <- e })
				clients = append(clients, c)
			},
			"a socket refuses": func(rt *rapid.T) {
				if len(clients) > 0 {
					some(rt).shutIfOpen(rapid.IntRange(0, 300).Draw(rt, "part"))
				}
			},
			"a socket takes": func(rt *rapid.T) {
				if len(clients) > 0 {
					some(rt).open()
				}
			},
			"heartbeats": func(*rapid.T) {
				for range wheelTicks {
					s.shard.heartbeats(time.Now())
				}
			},
		}
		rt.Repeat(actions)
		for _, c := range clients {
			c.open()
		}
		s.live()
		for _, c := range clients {
			require.Equal(rt, c.wanted(topicOf, s.last), c.ids())
			checkIDs(rt, c.text())
			require.Empty(rt, c.ended)
		}
		s.stop()
	})
}

// wanted are the ids of the client's events up to a sequence.
func (c *client) wanted(topicOf map[uint64]string, last uint64) (ids []string) {
	for seq := c.after + 1; seq <= last; seq++ {
		if c.topics.Match(topicOf[seq]) {
			ids = append(ids, position(seq).String())
		}
	}
	return ids
}

// checkIDs: an event's id is above all ids before it, and those of other blocks
// are not below.
func checkIDs(t require.TestingT, text string) {
	var last event.ID
	for _, block := range bytes.Split([]byte(text), []byte("\n\n")) {
		line, rest, ok := bytes.Cut(block, []byte("\n"))
		if !ok {
			continue
		}
		id, err := event.ParseID(string(bytes.TrimPrefix(line, []byte("id: "))))
		require.NoError(t, err)
		if bytes.HasPrefix(rest, []byte("event: data")) {
			require.Greater(t, id.Seq, last.Seq)
		}
		require.GreaterOrEqual(t, id.Seq, last.Seq)
		last = id
	}
}

// TestATokenThatRunsOutEndsTheStream at a block's end, at the position up to
// which the client has everything.
func TestATokenThatRunsOutEndsTheStream(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	out, sub := s.client(0)
	s.live()
	s.publish(3, 10)
	s.shard.flush()
	sub.Drain(wire.ReasonTokenExpired)
	sub.Drain(wire.ReasonShutdown) // the first one counts
	s.shard.empty()
	e := s.ended(out)
	assert.ErrorIs(t, e.Err, ErrDrained)
	assert.Equal(t, "token_expired", e.Reason)
	assert.EqualValues(t, 3, e.Sent)
	assert.True(t, out.clean)
	assert.Regexp(t, block(3, "system")+`\ndata: {"type":"expired",[^\n]*}\nretry: 5000\n\n$`, out.text())
}

// TestSentAwayWhileItOpens: what was asked before the client is served is done
// when it is, after its opening.
func TestSentAwayWhileItOpens(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := newStepped(t, 16)
	sub, err := s.fanout.Subscribe(set(t), encoder)
	require.NoError(t, err)
	sub.Open(position(7), wire.Open{Resumed: wire.ResumedNone})
	sub.Drain(wire.ReasonShutdown)
	s.shard.empty()
	out := &socket{ended: make(chan End, 2)}
	sub.Go(out, []byte("HEAD\r\n"), func(e End) { out.ended <- e })
	e := s.ended(out)
	assert.Equal(t, "shutdown", e.Reason)
	assert.Regexp(t, "(?s)^HEAD\r\n"+block(7, "system")+`.*"open".*`+block(7, "system")+`.*"drain"`, out.text())
}
