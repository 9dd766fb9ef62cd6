//go:build unix

package stream_test

import (
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/socket"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestReplaySlots: clients that take nothing of their replays hold no slot.
func TestReplaySlots(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, smallRing, func(o *streamtest.Options) { o.Feed.ReplayConcurrency = 1 })
		r.log.Pad = 2000
		r.log.PublishN(1500, "a")
		for range 5 {
			r.open(t, streamtest.Query{LastID: r.log.ID(0), RecvBuf: 32 << 10}) // and never reads
		}
		var j streamtest.Journal
		require.NoError(t, j.Read(r.open(t, streamtest.Query{LastID: r.log.ID(0)}), streamtest.At(1500)))
		require.NoError(t, j.Compare(r.log.Match(0)))
	})
}

// TestReplaysNeedFewConsumers has a stream that allows six consumers and sixty
// clients that need the log, some of which never read.
func TestReplaysNeedFewConsumers(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		ns := natstest.Start(t)
		log := streamtest.NewLog(t, ns.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxConsumers = 6 })
		edge := streamtest.Start(t, ns.URL(), way, smallRing, func(o *streamtest.Options) { o.Feed.ReplayConcurrency = 2 })
		log.Pad = 500
		log.PublishN(1000, topics...)
		require.Eventually(t, func() bool { return edge.Feed.Position().Seq == 1000 }, natstest.Patience, time.Millisecond)
		var reading sync.WaitGroup
		for i := range 60 {
			filters := topics[i%len(topics):]
			c := streamtest.Open(t, edge.URL, streamtest.Query{Topics: filters, LastID: log.ID(uint64(i))})
			if i%4 == 0 {
				continue // never reads
			}
			reading.Go(func() {
				var j streamtest.Journal
				want := log.Match(uint64(i), filters...)
				assert.NoError(t, j.Read(c, streamtest.At(want[len(want)-1].Seq)), "client %d", i)
				assert.NoError(t, j.Compare(want), "client %d", i)
			})
		}
		reading.Wait()
	})
}

// TestSinceNeedsFewConsumers: looking up a time takes one too.
func TestSinceNeedsFewConsumers(t *testing.T) {
	natstest.CheckGoroutines(t)
	ns := natstest.Start(t)
	log := streamtest.NewLog(t, ns.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxConsumers = 6 })
	log.PublishN(100, "a")
	<-time.After(2 * time.Millisecond) // so that the times differ
	log.PublishN(100, "a")
	edge := streamtest.Start(t, ns.URL(), smallRing, func(o *streamtest.Options) { o.Feed.ReplayConcurrency = 2 })
	since := storeTime(t, log, 101)
	var asking sync.WaitGroup
	for range 60 {
		asking.Go(func() {
			c, err := streamtest.Connect(edge.URL, streamtest.Query{Params: url.Values{"since": {since.Format(time.RFC3339Nano)}}})
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			if assert.Equal(t, http.StatusOK, c.Response.StatusCode) {
				assert.Equal(t, log.ID(100), c.System(t, "open").ID)
			}
		})
	}
	asking.Wait()
}

// TestReconnectStorm: clients whose events are in memory cost NATS nothing.
func TestReconnectStorm(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		r.log.PublishN(500, "a")
		require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 500 }, natstest.Patience, time.Millisecond)
		requests := func() uint64 {
			info, err := r.nats.Embedded().NATS().Jsz(nil)
			require.NoError(t, err)
			return info.API.Total
		}
		before := requests()
		var storm sync.WaitGroup
		for i := range 300 {
			storm.Go(func() {
				c, err := streamtest.Connect(r.edge.URL, streamtest.Query{LastID: r.log.ID(uint64(i))})
				if assert.NoError(t, err) {
					var j streamtest.Journal
					assert.NoError(t, j.Read(c, streamtest.At(500)))
					assert.NoError(t, j.Compare(r.log.Match(uint64(i))))
					c.Close()
				}
			})
		}
		storm.Wait()
		assert.LessOrEqual(t, requests()-before, uint64(50))
	})
}

// TestStuckHTTP2Client never opens its flow control window.
func TestStuckHTTP2Client(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: natstest.Patience}).Get(r.edge.URL + "/stream")
	require.NoError(t, err)
	defer resp.Body.Close()
	r.log.Pad = 1000
	require.Eventually(t, func() bool {
		r.log.PublishN(20, "a")
		return r.edge.Feed.Count() == 0
	}, natstest.Patience, 5*time.Millisecond, "it is not cut")
}

// TestCutIsAReset: a response that was cut must not look complete, which for
// HTTP/1.0 only a reset can say, and the kernel must let go of what it holds.
func TestCutIsAReset(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	c := r.open(t, streamtest.Query{Proto: "HTTP/1.0"}) // and does not read
	r.log.Pad = 1000
	require.Eventually(t, func() bool {
		r.log.PublishN(20, "a")
		return r.edge.Feed.Count() == 0
	}, natstest.Patience, 5*time.Millisecond, "it is not cut")
	var err error
	for err == nil {
		_, err = c.Next()
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestListen: what the kernel holds for a client is bounded.
func TestListen(t *testing.T) {
	l, err := socket.Listen(t.Context(), "127.0.0.1:0", socket.ListenOptions{SendBuffer: 64 << 10, UserTimeout: 7 * time.Second})
	require.NoError(t, err)
	defer l.Close()
	client, err := net.DialTimeout("tcp", l.Addr().String(), natstest.Patience)
	require.NoError(t, err)
	defer client.Close()
	defer time.AfterFunc(natstest.Patience, func() { _ = l.Close() }).Stop() // ends Accept
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	tcp, ok := conn.(syscall.Conn)
	require.True(t, ok, "the direct way needs its descriptor: %T", conn)
	option := func(level, name int) (value int) {
		raw, err := tcp.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, name) }))
		require.NoError(t, err)
		return value
	}
	assert.LessOrEqual(t, option(syscall.SOL_SOCKET, syscall.SO_SNDBUF), 2*(64<<10), "Linux doubles it")
	assert.NotZero(t, option(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	if runtime.GOOS == "linux" {
		const tcpUserTimeout = 18 // linux/tcp.h
		assert.Equal(t, 7000, option(syscall.IPPROTO_TCP, tcpUserTimeout))
	}
}
