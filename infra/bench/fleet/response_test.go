package fleet

import (
	"bytes"
	"fmt"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// feed gives the response to r in pieces of at most size bytes.
func feed(r *response, wire []byte, size int) (body []byte, err error) {
	for len(wire) > 0 && err == nil {
		piece := bytes.Clone(wire[:min(size, len(wire))])
		wire = wire[len(piece):]
		var n int
		n, err = r.body(piece)
		body = append(body, piece[:n]...)
	}
	return body, err
}

func TestChunksAreUndoneHoweverTheyArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.StringN(1, 40, -1)).Draw(t, "parts")
		var wire bytes.Buffer
		wire.WriteString(chunkedHead)
		w := httputil.NewChunkedWriter(&wire)
		for _, p := range parts {
			_, err := w.Write([]byte(p))
			require.NoError(t, err)
		}
		var r response
		body, err := feed(&r, wire.Bytes(), rapid.IntRange(1, 200).Draw(t, "piece"))
		require.NoError(t, err)
		require.True(t, r.begun())
		require.Equal(t, strings.Join(parts, ""), string(body))
	})
}

func TestResponse(t *testing.T) {
	for _, tc := range []struct {
		name, wire, body, err string
	}{
		{"no chunks", "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\nabc", "abc", ""},
		{"extension and capitals", chunkedHead + "A;x=y\r\n0123456789\r\n", "0123456789", ""},
		{"last chunk", chunkedHead + "1\r\na\r\n0\r\n\r\n", "a", "ended the response"},
		{"refused", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "", "503 service unavailable"},
		{"not HTTP", "SSH-2.0\r\n\r\n", "", "ssh-2.0"},
		{"no head", strings.Repeat("x", maxHead+1), "", "no HTTP response head"},
		{"no size", chunkedHead + "x\r\n", "", "malformed"},
		{"huge size", chunkedHead + "fffffffffffffffffff\r\n", "", "malformed"},
		{"data longer than its size", chunkedHead + "1\r\nabc", "a", "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} {
				var r response
				body, err := feed(&r, []byte(tc.wire), size)
				assert.Equal(t, tc.body, string(body), fmt.Sprint(size))
				if tc.err == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, tc.err)
				}
			}
		})
	}
}
