package reader_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestReaderOutlivesItsConsumer: whatever becomes of the consumer, the reader
// says why it restarts and goes on with the next event, each once.
func TestReaderOutlivesItsConsumer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		harm func(*rig) (mend func())
		want string
	}{
		{"it was deleted", func(r *rig) func() {
			require.NoError(r.t, r.JS.DeleteConsumer(natstest.Context(r.t), event.DefaultStream, r.consumer()))
			return nil
		}, "nothing heard from the consumer"},
		{"it is silent", (*rig).silence, "nothing heard from the consumer"},
		{"it lives and delivers nothing", (*rig).pause, "the feed is stuck at sequence 3 of 6"},
		{"its deliveries are lost", func(r *rig) func() {
			r.line.In(func(p feedtest.Packet) bool { return !isEvent(p) })
			return func() { r.line.In(nil) }
		}, "the feed is stuck at sequence 3 of 6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, feedtest.NewLog(t))
			r.Publish(3, "a", 1)
			r.awaitPosition(3)
			mend := tt.harm(r)
			r.Publish(3, "a", 1)
			r.awaitRestart(tt.want)
			if mend != nil {
				mend()
			}
			r.awaitPosition(6)
			r.Publish(1, "a", 1)
			r.assertTold(7, feedtest.Each("a", 1, 7)...)
			r.consumer() // the old one is gone
		})
	}
}

// TestMissingDelivery: the network between NATS and the reader loses single
// messages, which a consumer without acknowledgements never sends again.
func TestMissingDelivery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lost int64 // which of the deliveries
		want string
	}{
		{"the first", 1, eventlog.ErrMissing.Error() + ": 2 of "},
		{"one in the middle", 3, eventlog.ErrMissing.Error() + ": 4 of "},
		{"the last, which the log alone tells of", 5, "the feed is stuck at sequence 4 of 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, feedtest.NewLog(t))
			r.consumer()
			var came atomic.Int64
			r.line.In(func(p feedtest.Packet) bool { return !isEvent(p) || came.Add(1) != tt.lost })
			r.Publish(5, "a", 1)
			r.awaitRestart(tt.want)
			r.awaitPosition(5)
			r.Publish(1, "a", 1)
			r.assertTold(6, feedtest.Each("a", 1, 6)...)
		})
	}
}

// TestReaderWithoutNATS says so, waits, and goes on with the next event.
func TestReaderWithoutNATS(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(3, "a", 1)
	r.awaitPosition(3)
	r.Server.Stop()
	r.awaitRestart(eventlog.ErrDisconnected.Error())
	assert.False(t, r.reader.Status().Reading)
	assert.True(t, r.reader.Status().Loaded, "once is enough")
	r.Server.Restart()
	r.Publish(3, "a", 1)
	r.assertTold(6, feedtest.Each("a", 1, 6)...)
	require.True(t, r.reader.Status().Reading)
	assert.NoError(t, r.reader.Status().Err)
}

// TestReaderReadsWhatItWasAskedFor and knows nevertheless how far it has come.
func TestReaderReadsWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	log := feedtest.NewLog(t)
	log.Publish(1, "a", 1)
	log.Publish(2, "b", 1)
	log.Publish(1, "a", 1)
	r := run(t, log, "events.a")
	r.assertTold(4, "1 a", "4 a")
	log.Publish(3, "b", 1)
	r.assertTold(7, "1 a", "4 a")
	log.Publish(1, "a", 1)
	r.assertTold(8, "1 a", "4 a", "8 a")
	assert.Empty(t, r.why.reasons, "that is no reason to restart")
}

// TestReaderReadsWhileNobodyKnowsTheLog: questions about the log are not answered
// for a while, and its consumer goes on. The reader says that it does not know,
// and does not restart for it.
func TestReaderReadsWhileNobodyKnowsTheLog(t *testing.T) {
	t.Parallel()
	r := run(t, feedtest.NewLog(t))
	r.Publish(3, "a", 1)
	r.awaitPosition(3)
	before := r.consumer()
	r.line.Out(func(p feedtest.Packet) bool { return !strings.HasPrefix(p.Subject, "$JS.API.STREAM.INFO.") })
	require.Eventually(t, func() bool { return r.reader.Status().Err != nil }, natstest.Patience, time.Millisecond)
	assert.False(t, r.reader.Status().Reading)
	r.Publish(3, "a", 1)
	r.assertTold(6, feedtest.Each("a", 1, 6)...)
	r.line.Out(nil)
	require.Eventually(t, func() bool { return r.reader.Status().Reading }, natstest.Patience, time.Millisecond)
	assert.NoError(t, r.reader.Status().Err)
	assert.Equal(t, before, r.consumer(), "it has not restarted")
}
