package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sluice/functions/stream/streamtest"
)

// firstRetry is how long a client waits before it comes back, until it is told.
const firstRetry = 200 * time.Millisecond

// browser has one connection to a proxy for all its clients, or one for each
// over HTTP/1.1.
type browser struct {
	*http.Transport
	proto int    // major version
	from  net.IP // its address; nil for any

	mu    sync.Mutex
	conns []net.Conn
}

func (p *proxy) browser(proto int) *browser {
	b := &browser{proto: proto}
	b.Transport = &http.Transport{
		ForceAttemptHTTP2:  proto == 2,
		DisableCompression: true, // what comes is as it comes
		TLSClientConfig:    &tls.Config{RootCAs: p.roots, ServerName: site},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialer := &net.Dialer{}
			if b.from != nil {
				dialer.LocalAddr = &net.TCPAddr{IP: b.from}
			}
			conn, err := dialer.DialContext(ctx, network, p.addr())
			b.mu.Lock()
			defer b.mu.Unlock()
			b.conns = append(b.conns, conn)
			return conn, err
		},
	}
	return b
}

// get asks for a stream, with headers as name, value, name, value.
func (b *browser) get(ctx context.Context, query string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site+"/stream?"+query, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "gzip, deflate, br")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.RoundTrip(req)
}

// crash closes its connections without a word.
func (b *browser) crash() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close()
	}
}

// eventSource is a client as browsers have it: it ends for good at any status
// but 200, and comes back with its cursor after everything else.
type eventSource struct {
	browser     *browser
	topics      []string
	journal     streamtest.Journal
	seq         atomic.Uint64 // how far it has come
	connections atomic.Int64
	retry       time.Duration
	dead        atomic.Bool
}

// deadError is what ends an EventSource for good.
type deadError struct{ text string }

func (d *deadError) Error() string { return d.text }

// connect is one request. Its context is that of the answer too.
func (e *eventSource) connect(ctx context.Context) (*streamtest.Client, error) {
	headers := []string{"Accept", "text/event-stream"}
	if e.journal.LastID != "" {
		headers = append(headers, "Last-Event-ID", e.journal.LastID)
	}
	resp, err := e.browser.get(ctx, url.Values{"topic": e.topics}.Encode(), headers...)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" ||
		resp.Header.Get("Content-Encoding") != "" || resp.ProtoMajor != e.browser.proto {
		_ = resp.Body.Close()
		return nil, &deadError{fmt.Sprintf("%s %s %v", resp.Proto, resp.Status, resp.Header)}
	}
	return streamtest.Over(resp), nil
}

// follow reads until enough says so of a block, or ctx ends, or something ends
// an EventSource; the error is nil but then. unserved is called whenever an answer
// ends well without a block: it is the proxy's own.
func (e *eventSource) follow(ctx context.Context, enough func(streamtest.Block) bool, unserved func()) error {
	for e.retry = firstRetry; ; {
		blocks := 0
		c, err := e.connect(ctx)
		if err == nil {
			e.connections.Add(1)
			err = e.journal.Read(c, func(b streamtest.Block) bool {
				if ms, err := strconv.Atoi(b.Retry); err == nil {
					e.retry = time.Duration(ms) * time.Millisecond
				}
				e.seq.Store(b.Seq())
				blocks++
				return enough(b)
			})
			c.Close()
		}
		var dead *deadError
		var broken *streamtest.BrokenPromise
		switch {
		case err == nil, ctx.Err() != nil:
			return nil
		case errors.As(err, &dead), errors.As(err, &broken):
			return err
		case blocks == 0 && errors.Is(err, io.EOF):
			unserved()
		}
		select {
		case <-time.After(e.retry):
		case <-ctx.Done():
		}
	}
}
