package socket_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/socket"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

var (
	plain    = sse.NewEncoder("EVENTS", 5*time.Second, 1<<20)
	position = event.ID{Epoch: 0x0198f5aa3c1d, Seq: 42}
	now      = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
)

// decode reads chunks with the standard library's reader, which wants the last
// one, and wants nothing to be left behind it.
func decode(t require.TestingT, chunks []byte) string {
	in := bufio.NewReader(bytes.NewReader(append(bytes.Clone(chunks), "0\r\n\r\n"...)))
	body, err := io.ReadAll(httputil.NewChunkedReader(in))
	require.NoError(t, err, "%q", chunks)
	rest, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "\r\n", string(rest), "%q", chunks) // the reader leaves the trailer's end
	return string(body)
}

func frame(topic, header, data string) wire.Frame {
	f, _ := wire.NewFrame(plain, &wire.Message{ID: position, Topic: topic, Header: header, Data: []byte(data), Time: now})
	return f
}

func frames() *rapid.Generator[[]wire.Frame] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Frame {
		if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
			return wire.NewGap(plain, wire.ReasonExpired, position, position)
		}
		return frame(rapid.SampledFrom([]string{"a", "b.c"}).Draw(t, "topic"),
			rapid.SampledFrom([]string{"", "order.v1", "system"}).Draw(t, "type"),
			string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "data")))
	}), 0, 20)
}

func TestChunksDecodeToWhatTheyAreAround(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := rapid.SampledFrom([]wire.Wire{plain, sse.CloudEvents{Encoder: plain}}).Draw(t, "format")
		all := frames().Draw(t, "frames")
		margin := rapid.IntRange(0, 64).Draw(t, "margin")
		want := string(inner.Merge(0, all))

		once := socket.Chunked{Wire: inner}.Merge(margin, all)
		require.Equal(t, want, decode(t, once[margin:]))

		twice := socket.Chunked{Wire: socket.Chunked{Wire: inner}}.Merge(margin, all)
		if len(all) == 0 {
			require.Empty(t, twice[margin:])
			return
		}
		require.Equal(t, want, decode(t, []byte(decode(t, twice[margin:]))))

		// The margin is the caller's: what is written there changes nothing else.
		for i := range margin {
			once[i] = 'x'
		}
		require.Equal(t, want, decode(t, once[margin:]))
	})
}

func TestWhatTheEdgeSaysDecodesToo(t *testing.T) {
	first := position
	first.Seq++
	chunked := socket.Chunked{Wire: plain}
	for _, tt := range []struct {
		name        string
		chunk, want []byte
	}{
		{"open", chunked.Open(position, wire.Open{Resumed: wire.ResumedNone}), plain.Open(position, wire.Open{Resumed: wire.ResumedNone})},
		{"open after a gap",
			chunked.Open(position, wire.Open{Gap: &wire.Gap{Reason: wire.ReasonUnknown, Requested: "42", First: &first}}),
			plain.Open(position, wire.Open{Gap: &wire.Gap{Reason: wire.ReasonUnknown, Requested: "42", First: &first}})},
		{"heartbeat", chunked.Heartbeat(position, now, 7), plain.Heartbeat(position, now, 7)},
		{"drain", chunked.Bye(position, wire.ReasonShutdown, time.Second), plain.Bye(position, wire.ReasonShutdown, time.Second)},
		{"expired", chunked.Bye(position, wire.ReasonTokenExpired, 0), plain.Bye(position, wire.ReasonTokenExpired, 0)},
		{"keep-alive", chunked.KeepAlive(), plain.KeepAlive()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NotEmpty(t, tt.want)
			assert.Equal(t, string(tt.want), decode(t, tt.chunk))
		})
	}
}

func TestPartsOfAWriteAreNotChunked(t *testing.T) {
	chunked := socket.Chunked{Wire: plain}
	m := wire.Message{ID: position, Topic: "a", Data: []byte("1"), Time: now}
	want, _ := plain.Event(m)
	got, _ := chunked.Event(m)
	assert.Equal(t, string(want), string(got))
	gap := wire.GapBetween(wire.ReasonExpired, position, position)
	assert.Equal(t, string(plain.Gap(position, gap)), string(chunked.Gap(position, gap)))
}

// silent says nothing where a format says what a proxy is to hear.
type silent struct{ wire.Wire }

func (silent) KeepAlive() []byte { return nil }

func TestAnEmptyWriteIsNoChunkThatWouldEndTheResponse(t *testing.T) {
	assert.Empty(t, socket.Chunked{Wire: plain}.Merge(0, nil))
	assert.Len(t, socket.Chunked{Wire: plain}.Merge(7, nil), 7)
	assert.Empty(t, socket.Chunked{Wire: silent{plain}}.KeepAlive())
}
