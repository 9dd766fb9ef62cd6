package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// TestScrapesThatAreNotReadKeepNoneFromAnother.
func TestScrapesThatAreNotReadKeepNoneFromAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, setting, value string }{{"on PORT", "LOG_LEVEL", "info"}, {"on METRICS_ADDR", "METRICS_ADDR", "127.0.0.1:0"}} {
		t.Run(tt.name, func(t *testing.T) {
			e := edgeOn(t, natstest.Start(t).URL(), tt.setting, tt.value)
			e.WaitReady()
			addr := strings.TrimPrefix(e.URL(), "http://")
			if tt.setting == "METRICS_ADDR" {
				addr = e.Logged("listening for metrics")["addr"].(string)
			}
			defer hold(t, addr, 20, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50))()
			for range 20 {
				resp, err := http.Get("http://" + addr + "/metrics")
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, http.StatusOK, resp.StatusCode)
			}
		})
	}
}

// TestAFloodOfMalformedHTTP2IsToldSeldom.
func TestAFloodOfMalformedHTTP2IsToldSeldom(t *testing.T) {
	t.Parallel()
	e := edgeOn(t, natstest.Start(t).URL())
	e.WaitReady()
	began := time.Now()
	conns := make([]net.Conn, 300)
	for i := range conns {
		var err error
		conns[i], err = net.DialTimeout("tcp", strings.TrimPrefix(e.URL(), "http://"), natstest.Patience)
		require.NoError(t, err)
		defer conns[i].Close()
		require.NoError(t, conns[i].SetDeadline(time.Now().Add(natstest.Patience)))
		_, err = io.WriteString(conns[i], h2cPreface+"\x00\x00\x00\x00\x00\x00\x00\x00\x00") // DATA on stream 0
		require.NoError(t, err)
	}
	for _, conn := range conns {
		require.ErrorIs(t, readFrames(conn, make(chan struct{})), io.EOF)
	}
	lines := strings.Count(e.Stderr(), "http2: server")
	assert.NotZero(t, lines)
	assert.LessOrEqual(t, lines, 2+int(time.Since(began)/time.Second))
}

// TestRapidResetsEndTheirConnection: a client that opens streams and resets them at
// once is told to go away, and its connection ends. Another one's streams do not.
func TestRapidResetsEndTheirConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.edge(t)
	c := e.live()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(e.URL(), "http://"), natstest.Patience)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = io.WriteString(conn, h2cPreface)
	require.NoError(t, err)
	goAway, closed := make(chan struct{}), make(chan error, 1)
	go func() { closed <- readFrames(conn, goAway) }()
	told := func() bool {
		select {
		case <-goAway:
			return true
		default:
			return false
		}
	}
	id := uint32(1)
	for ; !told() && err == nil; id += 2 {
		require.Less(t, id, uint32(200_000), "nobody tells it to go away")
		_, err = conn.Write(append(frame(1, 0x5, id, "\x82\x86\x41\x01x\x44\x07/stream"), frame(3, 0, id, "\x00\x00\x00\x08")...))
	}
	natstest.Receive(t, closed) // what it was still sent may make that a reset
	assert.True(t, told(), "after %d streams: %v", id/2, err)
	assert.Equal(t, r.log.Publish("a").Data, c.Event(t).Data)
}

// frame is one of HTTP/2 (RFC 9113, 4.1).
func frame(kind, flags byte, stream uint32, payload string) []byte {
	b := append([]byte{0, 0, byte(len(payload)), kind, flags}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[5:], stream)
	return append(b, payload...)
}

// readFrames reads until the end, and closes goAway at the first GOAWAY.
func readFrames(conn io.Reader, goAway chan struct{}) error {
	for told := false; ; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return fmt.Errorf("in a frame: %w", err)
		}
		if head[3] == 7 && !told {
			told = true
			close(goAway)
		}
	}
}
