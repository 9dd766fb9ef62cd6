package stream_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestClientsThatComeAndFallBehindUnderLoad has one shard that is always
// behind, clients that join it meanwhile, and clients that pause until they
// fall out of the ring: what the shard hands on and what they have fetched
// themselves must meet without overlap.
func TestClientsThatComeAndFallBehindUnderLoad(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) {
			o.Feed.Shards, o.Feed.RingEvents = 1, 128
			o.Feed.Pending.Msgs, o.Feed.Pending.Bytes = 1<<20, 1<<30
			o.Feed.HeartbeatInterval = 64 * time.Millisecond
		})
		const events, lasting = 3000, 20
		r.log.Pad = 300
		var clients sync.WaitGroup
		journals := make([]*streamtest.Journal, lasting)
		for i := range journals {
			j := &streamtest.Journal{}
			journals[i] = j
			c := r.open(t, streamtest.Query{Topics: topics[i%len(topics):], RecvBuf: 32 << 10})
			clients.Go(func() {
				n := 0
				assert.NoError(t, j.Read(c, func(b streamtest.Block) bool {
					if n++; n%(100+i) == 0 {
						<-time.After(time.Duration(i) * time.Millisecond)
					}
					return b.Seq() >= events
				}), "client %d", i)
			})
		}
		come := make(chan struct{})
		go func() {
			defer close(come)
			for i := 0; r.edge.Feed.Position().Seq < events && t.Context().Err() == nil; i++ {
				c, err := streamtest.Connect(r.edge.URL, streamtest.Query{})
				if !assert.NoError(t, err) {
					return
				}
				n, j := 0, &streamtest.Journal{}
				err = j.Read(c, func(b streamtest.Block) bool { n++; return n > 50 || b.Seq() >= events })
				c.Close()
				assert.NoError(t, err, fmt.Sprintf("client that came as number %d", i))
				journals = append(journals, j)
			}
		}()
		r.log.PublishN(events, topics...)
		natstest.Receive(t, come)
		clients.Wait()
		for i, j := range journals {
			filters := topics[:0]
			if i < lasting {
				filters = topics[i%len(topics):]
			}
			want := r.log.Match(j.Start().Seq, filters...)
			if i >= lasting {
				want = want[:min(len(want), len(j.Events))]
			}
			assert.NoError(t, j.Compare(want), "client %d", i)
			assert.Empty(t, j.Gaps, "client %d", i)
		}
	})
}
