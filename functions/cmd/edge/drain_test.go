package main

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestTerminateWith500Streams is a process of its own that gets SIGTERM.
func TestTerminateWith500Streams(t *testing.T) {
	ways(t, func(t *testing.T, direct string) {
		natstest.CheckGoroutines(t)
		r := newRig(t)
		edge := r.edge(t, "DIRECT", direct, "DRAIN_TIMEOUT", "1s")
		var clients []*streamtest.Client
		for i := range 500 {
			q := streamtest.Query{Topics: []string{topics[i%len(topics)]}}
			if i%100 == 0 {
				q.Proto = "HTTP/1.0"
			}
			c := edge.open(q)
			c.System(t, "open")
			clients = append(clients, c)
		}
		r.log.Publish(topics...)
		for i, c := range clients {
			require.Equal(t, r.log.Match(0, topics[i%len(topics)])[0].Data, c.Event(t).Data)
		}
		began := time.Now()
		edge.Terminate()
		retries := map[string]bool{}
		for _, c := range clients {
			drain := c.System(t, "drain")
			assert.EqualValues(t, "shutdown", drain.System().Reason)
			assert.Equal(t, r.log.ID(r.log.Last().Seq), drain.ID, "the position, not its own last event's")
			retries[drain.Retry] = true
			_, err := c.Next()
			require.ErrorIs(t, err, io.EOF, "a proper end")
		}
		require.NoError(t, edge.Wait(), "exit code 0")
		assert.Less(t, time.Since(began), natstest.Patience/2)
		assert.Greater(t, len(retries), 100, "not all come back at once")
		for retry := range retries {
			ms, err := strconv.Atoi(retry)
			require.NoError(t, err)
			assert.True(t, 1000 <= ms && ms <= 5000, retry)
		}
	})
}

// TestAStopGivesTheWorldTimeToNotice has no clients: a load balancer, which
// looks now and then, still sends some, and they are to be answered until then.
func TestAStopGivesTheWorldTimeToNotice(t *testing.T) {
	const timeout = time.Second
	for _, tt := range []struct{ functions, path, answer string }{
		{"stream", "/stream", `"drain"`},
		{"health", "/livez", ""},
	} {
		t.Run(tt.functions, func(t *testing.T) {
			t.Parallel()
			e := newRig(t).edge(t, "FUNCTIONS", tt.functions, "DRAIN_TIMEOUT", timeout.String())
			url := e.URL()
			began := time.Now()
			e.Terminate()
			e.WaitNotReady()
			var asked int
			fresh := &http.Transport{DisableKeepAlives: true} // each time a new client
			e.Eventually(func() bool {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+tt.path, http.NoBody)
				require.NoError(t, err)
				answer, err := fresh.RoundTrip(req)
				if err != nil {
					return true
				}
				defer answer.Body.Close()
				assert.Equal(t, http.StatusOK, answer.StatusCode, "anything else ends an EventSource for good")
				body, err := io.ReadAll(answer.Body)
				assert.True(t, err != nil || strings.Contains(string(body), tt.answer), "%s", body)
				asked++
				return false
			})
			assert.GreaterOrEqual(t, time.Since(began), timeout)
			assert.Greater(t, asked, 5)
			require.NoError(t, e.Wait(), "exit code 0")
		})
	}
}

// TestDrainReachesSlowClients: what a client has not taken yet comes first,
// then the drain, then a proper end.
func TestDrainReachesSlowClients(t *testing.T) {
	ways(t, func(t *testing.T, direct string) {
		natstest.CheckGoroutines(t)
		r := newRig(t)
		edge := r.edge(t, noLimits("DIRECT", direct, "DRAIN_TIMEOUT", "5s")...)
		var clients []*streamtest.Client
		for i := range 40 {
			c := edge.open(streamtest.Query{RecvBuf: 20_000 + 1000*i}) // and does not read
			clients = append(clients, c)
		}
		r.log.Pad = 500
		r.log.PublishN(800, "a")
		edge.Eventually(func() bool { return strings.Contains(edge.metrics(), "\nsse_feed_position 800\n") })

		var running sync.WaitGroup
		edge.Terminate()
		for i, c := range clients {
			running.Go(func() {
				j := streamtest.Journal{}
				err := j.Read(c, func(b streamtest.Block) bool { return b.Type == "system" && b.System().Type == "drain" })
				assert.NoError(t, err, "client %d", i)
				assert.NoError(t, j.Compare(r.log.Match(0)[:len(j.Events)]))
				assert.Equal(t, r.log.ID(uint64(len(j.Events))), j.LastID)
				_, err = c.Next()
				assert.ErrorIs(t, err, io.EOF, "client %d", i)
			})
		}
		running.Wait()
		require.NoError(t, edge.Wait())
	})
}
