package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestStuckClientsBesideAFastOne is an edge in a process of its own, whose
// memory is watched: 20 clients never read, one reads as fast as it can.
func TestStuckClientsBesideAFastOne(t *testing.T) {
	const (
		events = 20_000
		most   = 300 << 20 // bytes of memory
	)
	ways(t, func(t *testing.T, direct string) {
		natstest.CheckGoroutines(t)
		r := newRig(t)
		edge := r.edge(t, "DIRECT", direct)
		peak := watchMemory(t, edge)
		var stuck []*streamtest.Client
		for i := range 20 { // each with topics of its own, by which the log tells them apart
			stuck = append(stuck, edge.open(streamtest.Query{Topics: []string{"metric.>", "log.>", "alert", fmt.Sprintf("stuck%d", i)}}))
		}

		j, read := streamtest.Journal{}, make(chan error, 1)
		first := edge.open(streamtest.Query{})
		require.NoError(t, j.Add(first.System(t, "open")))
		go func() {
			c, err := first, j.Read(first, streamtest.At(events))
			for broken := (*streamtest.BrokenPromise)(nil); err != nil && !errors.As(err, &broken); {
				c.Close()
				if c, err = streamtest.Connect(edge.URL(), streamtest.Query{LastID: j.LastID}); err != nil {
					break
				}
				err = j.Read(c, streamtest.At(events))
			}
			if c != nil {
				c.Close()
			}
			read <- err
		}()
		r.log.Pad = 1000
		r.log.PublishN(events, topics...)
		require.NoError(t, <-read)
		require.NoError(t, j.Compare(r.log.Match(0)))
		require.Empty(t, j.Gaps)

		ends := func() map[string][]string {
			found := map[string][]string{}
			for _, record := range edge.Records("a stream ended") {
				if topics := record["topics"].(string); strings.Contains(topics, "stuck") {
					found[topics] = append(found[topics], record["reason"].(string))
				}
			}
			return found
		}
		edge.Eventually(func() bool { return len(ends()) == len(stuck) })
		for _, reasons := range ends() {
			// One that had not begun when the events came is cut by STALL_TIMEOUT.
			require.Subset(t, []string{"slow", "stalled"}, reasons)
			require.Len(t, reasons, 1)
		}
		for _, c := range stuck { // what the kernel held for them, and then no proper end
			var err error
			for n := 0; err == nil; n++ {
				require.Less(t, n, 10_000, "it was not cut")
				_, err = c.Next()
			}
			var timeout net.Error
			require.False(t, errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
		}
		assert.Less(t, peak(), uint64(most), "bytes")
	})
}

// watchMemory notes the most memory that the edge holds until the test asks.
func watchMemory(t *testing.T, edge *edge) (peak func() uint64) {
	var most atomic.Uint64
	var watching sync.WaitGroup
	done := make(chan struct{})
	watching.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				most.Store(max(most.Load(), edge.RSS()))
			}
		}
	})
	stop := sync.OnceFunc(func() { close(done); watching.Wait() })
	t.Cleanup(stop) // before the edge is killed
	return func() uint64 { stop(); return most.Load() }
}
