package feed

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// sink is a client that takes everything at once.
type sink struct {
	writes, bytes int
}

func (s *sink) TryWrite(p []byte) (int, error) {
	s.writes++
	s.bytes += len(p)
	return len(p), nil
}
func (s *sink) Write(p []byte) error { _, err := s.TryWrite(p); return err }
func (s *sink) Interrupt()           {}
func (s *sink) Takes() bool          { return true }
func (s *sink) Close(bool)           {}

// fanOut is one shard with clients, without a log or a socket.
type fanOut struct {
	feed  *Feed
	shard *shard
	sinks []*sink
	seq   uint64
}

func newFanOut(tb testing.TB, clients int, topic func(i int) string) *fanOut {
	cfg := Config{Shards: 1}
	cfg.setDefaults()
	f := &Feed{
		cfg: cfg, ring: newRing(cfg.RingEvents, cfg.RingBytes), turns: make(chan struct{}, 1),
		subs: map[*Subscription]struct{}{}, log: &log{},
	}
	f.metrics = newMetrics(f, cfg.Registry)
	f.cfg.Clients = f.Count
	f.ring.begin(event.ID{Epoch: 1})
	b := &fanOut{feed: f, shard: newShard(f)}
	f.shards = []*shard{b.shard}
	for i := range clients {
		topics, err := NewTopics(topic(i))
		require.NoError(tb, err)
		out := &sink{}
		sub := &Subscription{feed: f, topics: topics, out: out, direct: out, enc: Encoding{Chunked: true}}
		require.NoError(tb, f.admit(sub))
		b.shard.join(sub)
		b.sinks = append(b.sinks, out)
	}
	b.shard.catchUp()
	return b
}

var payload = []byte(`{"type":"metric","name":"cpu_usage","value":45.2,"pad":"0123456789012345678901234567890123456789"}`)

// publish hands n events of the topic on in one go.
func (b *fanOut) publish(topic string, n int) {
	for range n {
		b.seq++
		f, _ := newFrame(b.feed.cfg.Encoder, &sse.Message{ID: event.ID{Epoch: 1, Seq: b.seq}, Topic: topic, Data: payload, Time: time.Now()})
		b.feed.ring.append(f)
	}
	b.shard.catchUp()
}

func same(int) string { return "metric.cpu" }

func own(i int) string { return fmt.Sprintf("client.%d", i) }

// BenchmarkFanOut is the cost of one event by the number of clients that get
// it, without the system calls.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{1, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			f := newFanOut(b, clients, same)
			b.ReportAllocs()
			for b.Loop() {
				f.publish("metric.cpu", 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(clients), "ns/delivery")
		})
	}
}

// BenchmarkOwnTopics is the cost of one event for one of so many clients that
// each have a topic of their own.
func BenchmarkOwnTopics(b *testing.B) {
	for _, clients := range []int{1, 100, 10000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			f := newFanOut(b, clients, own)
			b.ReportAllocs()
			for b.Loop() {
				f.publish("client.0", 1)
			}
		})
	}
}

func BenchmarkTopicsMatch(b *testing.B) {
	for _, filters := range [][]string{{">"}, {"metric.>"}, {"log.*", "alert.>", "metric.cpu_usage"}} {
		b.Run(fmt.Sprint(filters), func(b *testing.B) {
			topics, err := NewTopics(filters...)
			require.NoError(b, err)
			for b.Loop() {
				topics.Match("metric.cpu_usage")
			}
		})
	}
}

// BenchmarkRingRead is what a client costs that comes back 500 events behind,
// without the system calls.
func BenchmarkRingRead(b *testing.B) {
	f := newFanOut(b, 0, same)
	f.publish("metric.cpu", 1000)
	topics, err := NewTopics()
	require.NoError(b, err)
	var buf []frame
	for b.Loop() {
		idx, _ := f.feed.ring.locate(event.ID{Epoch: 1, Seq: 500})
		for end, _ := f.feed.ring.tail(); idx < end; {
			buf, idx, _, _ = f.feed.ring.read(buf[:0], idx, end, writeBytes, topics)
			Encoding{Chunked: true}.join(f.feed.cfg.Encoder, buf)
		}
	}
}
