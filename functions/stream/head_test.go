package stream_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// ask sends a request and reads the answer's head and, unless it is a stream,
// its body.
func ask(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(natstest.Context(t), method, url, http.NoBody)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	if method == http.MethodGet && resp.StatusCode == http.StatusOK {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// TestHeadIsAnsweredAsGetWithoutABody compares the two, with an edge that has one
// place.
func TestHeadIsAnsweredAsGetWithoutABody(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way, func(o *streamtest.Options) {
			o.Feed.Filter = []string{"a.>"}
			o.Access.MaxConnections = 1
		})
		m := behind(t, r.edge.Handler, nil)
		for _, tt := range []struct {
			name, query, reason string
			status              int
		}{
			{"a stream", "", "head", 200},
			{"a stream from a cursor", "?last_event_id=" + r.log.ID(0), "head", 200},
			{"a bad topic", "?topic=..", "bad_topic", 400},
			{"a misspelt parameter", "?topics=a", "bad_query", 400},
			{"a topic that is not served", "?topic=b", "topic_not_served", 404},
		} {
			t.Run(tt.name, func(t *testing.T) {
				for range 3 { // none keeps the place
					head, body := ask(t, http.MethodHead, m.url+"/stream"+tt.query)
					require.Equal(t, tt.status, head.StatusCode)
					assert.Empty(t, body)
					assert.Equal(t, stream.End{Reason: tt.reason}, natstest.Receive(t, m.ends))
					assert.Zero(t, r.edge.Feed.Count())

					get, _ := ask(t, http.MethodGet, m.url+"/stream"+tt.query)
					assert.Equal(t, get.StatusCode, head.StatusCode)
					assert.Equal(t, steady(get.Header), steady(head.Header))
					_ = get.Body.Close()
					natstest.Receive(t, m.ends)
				}
			})
		}
		t.Run("no place", func(t *testing.T) {
			c := streamtest.Open(t, m.url, streamtest.Query{})
			c.System(t, "open")
			for query, status := range map[string]int{"": 503, "?busy=inband": 200, "?busy=status": 503} {
				head, body := ask(t, http.MethodHead, m.url+"/stream"+query)
				assert.Equal(t, status, head.StatusCode, query)
				assert.Empty(t, body)
				assert.Equal(t, stream.End{Reason: "too_many_connections"}, natstest.Receive(t, m.ends))
			}
		})
	})
}

// steady are a header's fields without those of the moment and of the
// connection.
func steady(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Date", "Connection"} {
		h.Del(name)
	}
	return h
}

func TestHeadBeforeTheLogIsRead(t *testing.T) {
	natstest.CheckGoroutines(t)
	h := unready(t)
	m := behind(t, h, nil)
	head, body := ask(t, http.MethodHead, m.url+"/stream")
	assert.Equal(t, http.StatusServiceUnavailable, head.StatusCode)
	assert.NotEmpty(t, head.Header.Get("Retry-After"))
	assert.Empty(t, body)
	assert.Equal(t, stream.End{Reason: "starting"}, natstest.Receive(t, m.ends))

	h.Drain()
	head, _ = ask(t, http.MethodHead, m.url+"/stream")
	assert.Equal(t, http.StatusOK, head.StatusCode)
	assert.Equal(t, "text/event-stream", head.Header.Get("Content-Type"))
}
