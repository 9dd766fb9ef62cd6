package fanout

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/natsembed/natstest"
)

// counting is a wire format that counts the frames it renders and the writes it
// makes of them.
type counting struct {
	wire.Wire
	rendered, merged *atomic.Int64
}

func newCounting() counting {
	return counting{sse.CloudEvents{Encoder: encoder}, &atomic.Int64{}, &atomic.Int64{}}
}

func (c counting) Block(f *wire.Frame) []byte {
	c.rendered.Add(1)
	return c.Wire.Block(f)
}

func (c counting) Merge(margin int, frames []wire.Frame) []byte {
	c.merged.Add(1)
	return c.Wire.Merge(margin, frames)
}

// TestAFrameIsRenderedOnceForAllTopicSets: however many sets want it, and only if
// one does. Sets that get the same frames share the write, too.
func TestAFrameIsRenderedOnceForAllTopicSets(t *testing.T) {
	natstest.CheckGoroutines(t)
	const sets = 100
	s := newStepped(t, 1<<16)
	w := newCounting()
	var all []*socket
	for i := range sets {
		sub, err := s.fanout.Subscribe(set(t, "all.*", fmt.Sprintf("own.%d", i)), w)
		require.NoError(t, err)
		sub.Open(position(0), wire.Open{Resumed: wire.ResumedComplete})
		out := &socket{ended: make(chan End, 2)}
		sub.Go(out, nil, func(e End) { out.ended <- e })
		all = append(all, out)
	}
	require.Eventually(t, func() bool { return s.tasks() == sets }, natstest.Patience, 1e6)
	s.live()
	for _, tt := range []struct {
		topics           []string
		rendered, merged int64
	}{
		{[]string{"all.1", "all.2", "all.3"}, 3, 1},
		{[]string{"none"}, 0, 0},
		{[]string{"all.1", "own.7", "all.2"}, 3, 3}, // the others', that of 7, and the others' again
	} {
		w.rendered.Store(0)
		w.merged.Store(0)
		for _, topic := range tt.topics {
			s.add(topic, []byte("1"))
		}
		s.shard.flush()
		require.Equal(t, tt.rendered, w.rendered.Load(), "%v", tt.topics)
		require.LessOrEqual(t, w.merged.Load(), tt.merged, "%v", tt.topics)
	}
	for i, out := range all {
		require.Equal(t, 5, strings.Count(out.text(), `"subject":"all.`), "client %d", i)
		require.Equal(t, i == 7, strings.Contains(out.text(), `"subject":"own.7"`), "client %d", i)
	}
}
