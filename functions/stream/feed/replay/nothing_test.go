package replay_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
)

// TestNothingTakesOneConsumer: a replay of topics that are not there asks NATS for
// little, where one server has all of the log.
func TestNothingTakesOneConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(1000, "b", 1)
	r.open(0, "b").next() // so that the log is known, as to a process that has begun
	var made, pulled atomic.Int32
	r.line.Out(func(p feedtest.Packet) bool {
		switch {
		case strings.HasPrefix(p.Subject, "$JS.API.CONSUMER.CREATE."):
			made.Add(1)
		case strings.HasPrefix(p.Subject, askPull):
			pulled.Add(1)
		}
		return true
	})
	rd := r.open(0, "a", "c.*")
	rd.readTo(r.ID(1000))
	assert.Empty(t, rd.told)
	assert.EqualValues(t, 1, made.Load())
	assert.Zero(t, pulled.Load())
}

// TestWhatComesAfterNothing: events that are stored when a consumer has found
// nothing, and before the log's state is asked for, are not passed over.
func TestWhatComesAfterNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Publish(3, "b", 1)
	rd := r.open(0, "a")
	rd.next()
	require.Zero(t, rd.pos.Seq, "what the log was is not known yet")
	r.before(askState, func() { r.Publish(1, "a", 1) })
	rd.next()
	assert.EqualValues(t, 3, rd.pos.Seq)
	rd.readTo(r.ID(4))
	rd.assertTold("4 a")
}
