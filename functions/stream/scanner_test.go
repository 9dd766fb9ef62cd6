package stream_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gosse "github.com/tmaxmax/go-sse"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// around are the sizes of payloads near the largest one.
const (
	fewer = 300 // bytes
	more  = 10
)

// aroundTheLargest publishes a payload of each size near the largest one, and some
// that a block makes larger. It returns for each sequence whether it is told whole.
func aroundTheLargest(t *testing.T, log *streamtest.Log) (whole []bool) {
	t.Helper()
	add := func(topic, payload string, fits bool) {
		_, err := log.JS.Publish(t.Context(), event.Subject(topic), []byte(payload))
		require.NoError(t, err)
		whole = append(whole, fits)
	}
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("t", 64)+".", 16), ".")
	quoted := func(size int) string { return `"` + strings.Repeat("x", size-2) + `"` }
	for size := event.DefaultMaxBytes - fewer; size <= event.DefaultMaxBytes+more; size++ {
		add("a", quoted(size), size <= event.DefaultMaxBytes)
	}
	add(long, quoted(event.DefaultMaxBytes), true)
	for ends := range 3 { // each takes as much as six bytes more
		add("a", strings.Repeat("\n", ends)+quoted(event.DefaultMaxBytes-7*ends), true)
		add("a", strings.Repeat("\r\n", ends)+quoted(event.DefaultMaxBytes-7*ends), true)
	}
	add("a", "\n"+quoted(event.DefaultMaxBytes-6), false)
	add("a", strings.Repeat("\n", event.DefaultMaxBytes/2)+"1", false)
	add("a", strings.Repeat("\xff", event.DefaultMaxBytes/4*3), true)
	add("a", strings.Repeat("\xff", event.DefaultMaxBytes/4*3+1), false)
	return whole
}

// TestClientsThatScan64KiB read everything: one that did not get past a block
// would ask for it again and again.
func TestClientsThatScan64KiB(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	whole := aroundTheLargest(t, r.log)
	for _, params := range []url.Values{nil, {"id": {"last"}}, {"format": {"cloudevents"}}, {"format": {"cloudevents"}, "id": {"last"}}} {
		t.Run(params.Encode(), func(t *testing.T) {
			c := r.open(t, streamtest.Query{LastID: r.log.ID(0), Params: params})
			blocks := bufio.NewScanner(c.Response.Body)
			blocks.Split(func(data []byte, _ bool) (int, []byte, error) {
				if end := bytes.Index(data, []byte("\n\n")); end >= 0 {
					return end + 2, data[:end+2], nil
				}
				return 0, nil, nil
			})
			require.True(t, blocks.Scan(), "the open block")
			for i, fits := range whole {
				require.True(t, blocks.Scan(), "event %d: %v", i+1, blocks.Err())
				require.Contains(t, blocks.Text(), "id: "+r.log.ID(uint64(i+1))+"\n")
				require.Equal(t, !fits, strings.Contains(blocks.Text(), `{"encoding":"omitted","size":`), "event %d", i+1)
			}
		})
	}
	t.Run("go-sse", func(t *testing.T) {
		request, err := http.NewRequestWithContext(natstest.Context(t), http.MethodGet, r.edge.URL+"/stream?last_event_id="+r.log.ID(0), http.NoBody)
		require.NoError(t, err)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(request)
		require.NoError(t, err)
		defer resp.Body.Close()
		seq := 0
		for e, err := range gosse.Read(resp.Body, nil) {
			require.NoError(t, err, "event %d", seq)
			if e.Type == event.TypeData {
				seq++
				assert.Equal(t, r.log.ID(uint64(seq)), e.LastEventID)
			}
			if seq == len(whole) {
				break
			}
		}
	})
}

// TestAPayloadThatAnEnvelopeMakesTooLarge is no JSON: each of its quotes takes two
// bytes as a JSON string.
func TestAPayloadThatAnEnvelopeMakesTooLarge(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t)
	for _, quotes := range []int{event.DefaultMaxBytes/2 - 1, event.DefaultMaxBytes / 2} {
		_, err := r.log.JS.Publish(t.Context(), event.Subject("a"), bytes.Repeat([]byte(`"`), quotes))
		require.NoError(t, err)
	}
	plain := r.open(t, streamtest.Query{LastID: r.log.ID(0)})
	envelopes := r.open(t, streamtest.Query{LastID: r.log.ID(0), Params: url.Values{"format": {"cloudevents"}}})
	plain.System(t, "open")
	envelopes.System(t, "open")
	for _, e := range plain.Events(t, 2) {
		assert.NotContains(t, e.Data, "omitted")
	}
	got := envelopes.Events(t, 2)
	assert.NotContains(t, got[0].Data, "omitted")
	assert.True(t, strings.HasSuffix(got[1].Data, fmt.Sprintf(`"data":{"encoding":"omitted","size":%d}}`, event.DefaultMaxBytes/2)))
}
