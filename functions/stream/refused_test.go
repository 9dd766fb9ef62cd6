package stream_test

import (
	"net/http"
	"net/url"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/stream"
	"sluice/functions/stream/sse"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// refusals checks what is refused: what the client sees, what the middleware is
// told, and that it is counted under its code and no other.
type refusals struct {
	m      *middleware
	counts func(t *testing.T) map[string]int
}

// status wants a status and a JSON body.
func (r *refusals) status(t *testing.T, code access.Code, status int, query url.Values) {
	t.Helper()
	r.refused(t, code, status, streamtest.Query{Params: query}, func(c *streamtest.Client) {
		assertError(t, string(code), c.Response)
		assert.Equal(t, status == http.StatusServiceUnavailable, c.Response.Header.Get("Retry-After") != "")
	})
}

// inband wants one block with status 200 and then the response's end.
func (r *refusals) inband(t *testing.T, code access.Code, block string, query url.Values) {
	t.Helper()
	r.refused(t, code, http.StatusOK, streamtest.Query{Params: query}, func(c *streamtest.Client) {
		assert.Equal(t, "text/event-stream", c.Response.Header.Get("Content-Type"))
		b := c.System(t, block)
		assert.NotEmpty(t, b.Retry)
		if block == sse.SystemBusy {
			assert.EqualValues(t, code, b.System().Reason, "the code is the reason")
		}
	})
}

func (r *refusals) refused(t *testing.T, code access.Code, status int, q streamtest.Query, check func(*streamtest.Client)) {
	t.Helper()
	want := r.counts(t)
	require.Contains(t, want, string(code), "it is there before")
	want[string(code)]++
	c, err := streamtest.Connect(r.m.url, q)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, status, c.Response.StatusCode, code)
	check(c)
	require.Equal(t, stream.End{Reason: string(code)}, natstest.Receive(t, r.m.ends))
	assert.Equal(t, want, r.counts(t))
}

var status = url.Values{"busy": {"status"}}

func TestEveryRefusalIsToldAndCountedByItsCode(t *testing.T) {
	natstest.CheckGoroutines(t)
	reg, registry := counting()
	edge := newRig(t, registry, func(o *streamtest.Options) {
		o.Feed.Filter = []string{"a.>"}
		o.Access.MaxConnections = 1
	}).edge
	r := &refusals{behind(t, edge.Handler, nil), func(t *testing.T) map[string]int { return values(t, reg, "sse_requests_refused_total") }}
	require.Len(t, r.counts(t), 25)

	for _, tt := range []struct {
		code   access.Code
		status int
		query  url.Values
	}{
		{access.BadQuery, 400, nil}, // see below
		{access.BadTopic, 400, url.Values{"topic": {".."}}},
		{access.BadFormat, 400, url.Values{"format": {"xml"}}},
		{access.BadSince, 400, url.Values{"since": {"yesterday"}}},
		{access.BadFrom, 400, url.Values{"from": {"5"}}},
		{access.BadLast, 400, url.Values{"last": {"0"}}},
		{access.BadBusy, 400, url.Values{"busy": {"yes"}}},
		{access.BadID, 400, url.Values{"id": {"42"}}},
		{access.TopicNotServed, 404, url.Values{"topic": {"b"}}},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			if tt.code == access.BadQuery {
				want := r.counts(t)
				want["bad_query"]++
				resp, err := (&http.Client{Timeout: natstest.Patience}).Get(r.m.url + "/stream?topic=%zz")
				require.NoError(t, err)
				defer resp.Body.Close()
				assertError(t, "bad_query", resp)
				assert.Equal(t, want, r.counts(t))
				require.Equal(t, stream.End{Reason: "bad_query"}, natstest.Receive(t, r.m.ends))
				return
			}
			r.status(t, tt.code, tt.status, tt.query)
		})
	}
	t.Run("too many connections", func(t *testing.T) {
		c := streamtest.Open(t, r.m.url, streamtest.Query{})
		c.System(t, "open")
		r.status(t, access.TooManyConnections, 503, status)
		r.inband(t, access.TooManyConnections, "busy", nil)
		c.Close()
		require.Equal(t, "gone", natstest.Receive(t, r.m.ends).Reason)
	})
	t.Run("low memory", func(t *testing.T) {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20))
		r.status(t, access.LowMemory, 503, status)
		r.inband(t, access.LowMemory, "busy", nil)
	})
	t.Run("draining", func(t *testing.T) {
		edge.Handler.Drain()
		r.inband(t, access.Draining, "drain", nil)
		r.inband(t, access.Draining, "drain", url.Values{"last_event_id": {"none of ours"}})
		r.status(t, access.BadTopic, 400, url.Values{"topic": {".."}})
	})
}

func TestARefusalBeforeTheLogIsReadIsCounted(t *testing.T) {
	natstest.CheckGoroutines(t)
	reg, registry := counting()
	var o streamtest.Options
	registry(&o)
	h := unready(t, func(c *stream.Config) { c.Registry = o.Stream.Registry })
	r := &refusals{behind(t, h, nil), func(t *testing.T) map[string]int { return values(t, reg, "sse_requests_refused_total") }}
	r.status(t, access.Starting, 503, status)
	r.inband(t, access.Starting, "busy", nil)
	h.Drain()
	r.inband(t, access.Draining, "drain", nil)
}
