package event_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"

	"sluice/publisher/event"
)

func TestStreamsThatCannotBeAnEventLogSayWhatToChange(t *testing.T) {
	for _, tt := range []struct {
		name           string
		change         func(*jetstream.StreamConfig)
		filters        []string
		reading        string // what the error names, "" for none
		writing        string
		alsoForWriting bool // reading's error is writing's too
	}{
		{name: "as Sluice makes it", change: func(*jetstream.StreamConfig) {}},
		{name: "more subjects than events", change: func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>", "events.>"} }},
		{name: "everything", change: func(c *jetstream.StreamConfig) { c.Subjects = []string{">"} }},
		{name: "other subjects", change: func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>"} }, reading: "orders.>", alsoForWriting: true},
		{name: "a part of the topics, of which another is read", change: func(c *jetstream.StreamConfig) { c.Subjects = []string{"events.metric.>"} },
			filters: []string{"log.>"}, reading: "events.log.>"},
		{name: "a part of the topics, which is all that is read", change: func(c *jetstream.StreamConfig) { c.Subjects = []string{"events.metric.>"} },
			filters: []string{"metric.cpu", "metric.*.x"}},
		{name: "a work queue", change: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, reading: "workqueue", alsoForWriting: true},
		{name: "interest", change: func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, reading: "interest", alsoForWriting: true},
		{name: "one consumer", change: func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 }, reading: "max_consumers", alsoForWriting: true},
		{name: "two consumers", change: func(c *jetstream.StreamConfig) { c.MaxConsumers = 2 }},
		{name: "no limit of consumers", change: func(c *jetstream.StreamConfig) { c.MaxConsumers = -1 }},
		{name: "no acknowledgements", change: func(c *jetstream.StreamConfig) { c.NoAck = true }, writing: "no_ack"},
		{name: "sealed", change: func(c *jetstream.StreamConfig) { c.Sealed = true }, writing: "sealed"},
		{name: "a mirror that does not carry its origin's epoch", change: func(c *jetstream.StreamConfig) {
			c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: "EVENTS"}
		}, reading: `"epoch"`, writing: "mirror"},
		{name: "a mirror that does", change: func(c *jetstream.StreamConfig) {
			c.Subjects, c.Mirror, c.Metadata = nil, &jetstream.StreamSource{Name: "EVENTS"}, map[string]string{"epoch": "1700000000000"}
		}, writing: "mirror"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := event.StreamConfig("LOG", event.StreamLimits{})
			tt.change(&cfg)
			if tt.alsoForWriting {
				tt.writing = tt.reading
			}
			checkUnfit(t, tt.reading, event.CheckReadable(&cfg, tt.filters...))
			checkUnfit(t, tt.writing, event.CheckWritable(&cfg))
		})
	}
}

func checkUnfit(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err)
		return
	}
	assert.ErrorIs(t, err, event.ErrUnfit)
	assert.ErrorContains(t, err, want)
	assert.ErrorContains(t, err, "stream LOG (STREAM)")
}

func TestSurprisesAreTheLimitsThatDiffer(t *testing.T) {
	want := event.StreamConfig("LOG", event.StreamLimits{})
	got := want
	assert.Empty(t, event.Surprises(&got, &want))
	got.MaxAge, got.MaxMsgSize = time.Hour, 1000
	assert.Equal(t, []string{
		"STREAM_MAX_AGE asks for 24h0m0s, the stream has 1h0m0s",
		"MAX_EVENT_BYTES asks for events of up to 64512 bytes with their headers, the stream takes 1000",
	}, event.Surprises(&got, &want))
	got = want
	got.MaxMsgSize = -1
	assert.Empty(t, event.Surprises(&got, &want), "no limit at all surprises nobody")
	assert.Empty(t, event.Compaction(&got))
	got.MaxMsgsPerSubject = 5
	assert.Equal(t, []string{event.Compaction(&got)}, event.Surprises(&got, &want))
	assert.Contains(t, event.Compaction(&got), "the newest 5 events of each subject (max_msgs_per_subject)")
}
