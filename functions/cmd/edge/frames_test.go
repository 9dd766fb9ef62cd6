package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"sluice/natsembed/natstest"
)

// floodMemory is more than a flood may have an edge take, in bytes.
const floodMemory = 100 << 20

// TestAFloodOfFramesEndsItsConnection: a client that sends frames for ever, and
// reads no answer, is cut. Another one's stream goes on, and memory stays.
func TestAFloodOfFramesEndsItsConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.edge(t, "MAX_STREAMS_PER_CONNECTION", "10", "STALL_TIMEOUT", "5s")
	c := e.live()
	const get = "\x82\x86\x41\x01x\x44\x07/stream"
	for _, tt := range []struct {
		name string
		send func(f *http2.Framer, i uint32) error
	}{
		{"CONTINUATION without an end", func(f *http2.Framer, i uint32) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(get)})
			}
			return f.WriteContinuation(1, false, []byte("\x00\x03x-a\x03abc"))
		}},
		{"CONTINUATION of large headers", func(f *http2.Framer, i uint32) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(get)})
			}
			return f.WriteContinuation(1, false, []byte("\x00\x03x-a\x7f\x81\x1f"+strings.Repeat("a", 4096)))
		}},
		{"streams that are too many", func(f *http2.Framer, i uint32) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte(get), EndHeaders: true, EndStream: true})
		}},
		{"PING", func(f *http2.Framer, i uint32) error { return f.WritePing(false, [8]byte{byte(i)}) }},
		{"SETTINGS", func(f *http2.Framer, _ uint32) error { return f.WriteSettings() }},
		{"streams that are reset", func(f *http2.Framer, i uint32) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte(get), EndHeaders: true, EndStream: true}); err != nil {
				return err
			}
			return f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := e.RSS()
			conn, err := net.DialTimeout("tcp", strings.TrimPrefix(e.URL(), "http://"), natstest.Patience)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
			require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
			_, err = conn.Write([]byte(h2cPreface))
			require.NoError(t, err)
			var out bytes.Buffer
			f := http2.NewFramer(&out, conn)
			for i := uint32(0); err == nil; i++ {
				require.NoError(t, tt.send(f, i))
				if out.Len() > 8<<10 {
					_, err = conn.Write(out.Bytes())
					out.Reset()
				}
			}
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "nobody ends it")
			assert.Less(t, e.RSS(), before+floodMemory)
			assert.Equal(t, r.log.Publish("a").Data, c.Event(t).Data)
		})
	}
}
