package stream_test

import (
	"bytes"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// recorded notes all that is read of a body.
type recorded struct {
	io.ReadCloser
	text bytes.Buffer
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.text.Write(p[:n])
	return n, err
}

// record opens a stream whose bytes are noted.
func record(t *testing.T, base string, q streamtest.Query) (*streamtest.Client, *recorded) {
	t.Helper()
	c := streamtest.Open(t, base, q)
	r := &recorded{ReadCloser: c.Response.Body}
	resp := *c.Response
	resp.Body = r
	return streamtest.Over(&resp), r
}

// hasty is a client that keeps an id as soon as it has read its line.
type hasty struct {
	cursor string
	blocks []string // the ids of the blocks that it has read whole
}

func (h *hasty) read(text string) {
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "id: "); ok && strings.HasSuffix(line, "\n") {
			h.cursor = id
		}
		if line == "\n" {
			h.blocks = append(h.blocks, h.cursor)
		}
	}
}

// everything has one client see a block of each kind, and gives what it read.
func everything(t *testing.T, way func(*streamtest.Options), params url.Values) string {
	t.Helper()
	r := newRig(t, way, func(o *streamtest.Options) {
		o.Feed.HeartbeatInterval = 64 * time.Millisecond
		o.Access.MaxConnections = 1
	})
	r.log.PublishN(2, "a", "b")
	require.Eventually(t, func() bool { return r.edge.Feed.Position().Seq == 2 }, natstest.Patience, time.Millisecond)
	c, raw := record(t, r.edge.URL, streamtest.Query{LastID: r.log.ID(0), Params: params})
	c.System(t, "open")
	c.Events(t, 2)
	for c.Block(t).Type != "heartbeat" {
	}
	r.log.Delete()
	require.Eventually(t, func() bool { return r.edge.Feed.Status().Err != "" }, natstest.Patience, time.Millisecond)
	r.log.Create()
	r.log.Publish("a")
	c.System(t, "gap")
	c.Event(t)
	busy, rawBusy := record(t, r.edge.URL, streamtest.Query{LastID: r.log.ID(1), Params: params})
	busy.System(t, "busy")
	r.edge.Shutdown(0, natstest.Patience)
	c.System(t, "drain")
	_, err := c.Next()
	require.ErrorIs(t, err, io.EOF)
	return raw.text.String() + rawBusy.text.String()
}

func TestEveryBlockHasItsIDWhereAskedFor(t *testing.T) {
	parallelWays(t, func(t *testing.T, way func(*streamtest.Options)) {
		for _, tt := range []struct {
			name   string
			params url.Values
			last   bool
		}{
			{"by default", nil, false},
			{"first", url.Values{"id": {"first"}}, false},
			{"last", url.Values{"id": {"last"}}, true},
			{"last, CloudEvents", url.Values{"id": {"last"}, "format": {"cloudevents"}}, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				text := everything(t, way, tt.params)
				blocks := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n")
				require.GreaterOrEqual(t, len(blocks), 8)
				for _, b := range blocks {
					lines := strings.Split(b, "\n")
					at := 0
					if tt.last {
						at = len(lines) - 1
					}
					for i, line := range lines {
						assert.Equal(t, i == at, strings.HasPrefix(line, "id: "), b)
					}
				}
				// Each cut of the connection.
				for n := range len(text) + 1 {
					var h hasty
					h.read(text[:n])
					kept := h.cursor
					if len(h.blocks) > 0 && kept == h.blocks[len(h.blocks)-1] || kept == "" || !tt.last {
						continue
					}
					require.True(t, strings.HasPrefix(text[n:], "\n"), "the cursor of a block that is not there: %q", text[:n])
				}
			})
		}
	})
}

// TestBothPlacesOfTheIDBesideEachOther, with and without envelopes: everyone gets
// all events in the form that it asked for.
func TestBothPlacesOfTheIDBesideEachOther(t *testing.T) {
	ways(t, func(t *testing.T, way func(*streamtest.Options)) {
		natstest.CheckGoroutines(t)
		r := newRig(t, way)
		type reader struct {
			*streamtest.Client
			raw  *recorded
			last bool
		}
		var all []reader
		for range 2 {
			for _, params := range []url.Values{nil, {"id": {"first"}}, {"id": {"last"}}, {"format": {"cloudevents"}}, {"format": {"cloudevents"}, "id": {"last"}}} {
				c, raw := record(t, r.edge.URL, streamtest.Query{Params: params})
				c.System(t, "open")
				all = append(all, reader{c, raw, params.Get("id") == "last"})
			}
		}
		r.log.PublishN(300, "a", "b")
		for _, c := range all {
			for _, want := range r.log.Match(0) {
				require.Equal(t, want.Seq, c.Event(t).Seq())
			}
			assert.Equal(t, c.last, strings.HasPrefix(c.raw.text.String(), "event:"))
		}
	})
}

func TestTheDefaultPlaceOfTheID(t *testing.T) {
	natstest.CheckGoroutines(t)
	r := newRig(t, func(o *streamtest.Options) { o.Stream.IDLast = true })
	for params, want := range map[string]string{"": "event:", "last": "event:", "first": "id:"} {
		q := streamtest.Query{}
		if params != "" {
			q.Params = url.Values{"id": {params}}
		}
		c, raw := record(t, r.edge.URL, q)
		c.System(t, "open")
		assert.True(t, strings.HasPrefix(raw.text.String(), want), params)
	}
	c, err := streamtest.Connect(r.edge.URL, streamtest.Query{Params: url.Values{"id": {"42"}}})
	require.NoError(t, err)
	defer c.Close()
	assertError(t, "bad_id", c.Response)
}
