package fanout

import (
	"fmt"
	"sluice/functions/stream/feed/wire"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	*stepped
	sinks []*sink
}

func newFanOut(tb testing.TB, clients int, topic func(i int) string) *fanOut {
	b := &fanOut{stepped: newStepped(tb, 1<<16)}
	for i := range clients {
		out := &sink{}
		sub, err := b.fanout.Subscribe(set(tb, topic(i)), chunkedLike{encoder})
		require.NoError(tb, err)
		sub.direct, sub.out = out, out
		sub.life.phase.Store(uint32(Live))
		b.shard.post(join, sub)
		b.sinks = append(b.sinks, out)
	}
	b.shard.flush()
	return b
}

// chunkedLike puts something around each write, as an HTTP/1.1 chunk does.
type chunkedLike struct{ wire.Wire }

func (c chunkedLike) Merge(margin int, frames []wire.Frame) []byte {
	return append(c.Wire.Merge(margin+18, frames), '\r', '\n')[18:]
}

var payload = []byte(`{"type":"metric","name":"cpu_usage","value":45.2,"pad":"0123456789012345678901234567890123456789"}`)

// publish delivers n events of the topic in one go.
func (b *fanOut) publish(topic string, n int) {
	for range n {
		b.last++
		f, _ := wire.NewFrame(encoder, &wire.Message{ID: position(b.last), Topic: topic, Data: payload, Time: time.Now()})
		b.ring.Append(f)
	}
	b.shard.flush()
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
			topics := set(b, filters...)
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
	all := set(b)
	var buf []wire.Frame
	for b.Loop() {
		idx, _ := f.ring.Locate(position(500))
		for end, _ := f.ring.Tail(); idx < end; {
			buf, idx, _, _ = f.ring.Read(buf[:0], idx, end, writeBytes, all)
			render(encoder, buf)
		}
	}
}
