package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// behind is a proxy with its two edges, which keep their ports.
type behind struct {
	*rig
	t     *testing.T
	env   []string   // settings of both edges
	own   [][]string // and of each one
	ports []int
	edges []*edge
}

// startBehind starts the edges with settings of both, and some of each one's own.
func startBehind(t *testing.T, env []string, own ...[]string) *behind {
	t.Helper()
	b := &behind{rig: newRig(t), t: t, env: env, own: append(own, nil, nil), ports: natstest.Ports(t, 2), edges: make([]*edge, 2)}
	for i := range b.edges {
		b.start(i)
	}
	return b
}

// start starts an edge and waits until it is ready.
func (b *behind) start(i int) {
	b.t.Helper()
	b.edges[i] = b.edge(b.t, slices.Concat([]string{"PORT", strconv.Itoa(b.ports[i])}, b.env, b.own[i])...)
}

// connected is how many clients the edges count.
func (b *behind) connected() (n int) {
	b.t.Helper()
	for _, e := range b.edges {
		for line := range strings.Lines(e.metrics()) {
			var count int
			if _, err := fmt.Sscanf(line[strings.LastIndex(line, " ")+1:], "%d", &count); err == nil && strings.HasPrefix(line, "sse_connected_clients{") {
				n += count
			}
		}
	}
	return n
}

// TestEventSourcesLiveBehindAProxy through all that happens to edges and to the
// proxy itself: none, old or new, meets what would end it for good, and each has
// every event once and in order.
func TestEventSourcesLiveBehindAProxy(t *testing.T) {
	t.Parallel()
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.program, func(t *testing.T) {
			t.Parallel()
			installed(t, k.program) // before the edges are started in vain
			b := startBehind(t, []string{"RETRY", "500ms", "HEARTBEAT_INTERVAL", "250ms", "DRAIN_TIMEOUT", "8s"})
			acked, stop := publishing(t, b.nats.Connect(t), 20*time.Millisecond)
			p := startProxy(t, k, b.ports)
			a := newAudience(p)
			b.trouble(t, p, a, func(what string) {
				t.Helper()
				began := time.Now()
				a.pass(t, acked()+10)
				t.Logf("%s: all go on after %s; %s", what, time.Since(began).Round(time.Millisecond), a)
			})
			stop()
			a.end(t, streamtest.ReadStream(t, b.log.JS))
			assert.Eventually(t, func() bool { return b.connected() == 0 }, natstest.Patience, poll, "clients that are gone are counted")
		})
	}
}

// trouble is all that happens. After each, goOn waits until all clients have what
// is published later.
func (b *behind) trouble(t *testing.T, p *proxy, a *audience, goOn func(after string)) {
	t.Helper()
	goOn("the start")
	connections := a.connections()
	processes := p.processes()
	p.reload(p)
	goOn("a reload")
	assert.Equal(t, connections, a.connections(), "the reload leaves the streams of before alone")
	for i, e := range b.edges {
		e.Kill()
		goOn("a kill")
		if i == 0 || !p.looks { // else it may not know yet that the other one is back
			assert.Zero(t, a.unserved.Load(), "times that one found no edge, while there was one")
		}
		b.start(i)
		goOn("its restart")
	}
	unserved := a.unserved.Load()
	for i, e := range b.edges {
		require.NoError(t, e.Stop())
		goOn("a stop")
		b.start(i)
		goOn("its restart")
	}
	assert.Equal(t, unserved, a.unserved.Load(), "times that one found no edge, while there was one")
	for _, e := range b.edges {
		e.Kill()
	}
	a.comeBack(t)
	t.Logf("the kill of both edges: all have come back; %s", a)
	for i := range b.edges {
		b.start(i)
	}
	goOn("their restart")
	assert.Eventually(t, func() bool {
		now := p.processes()
		return len(now) == len(processes) && !slices.ContainsFunc(now, func(id int32) bool { return slices.Contains(processes, id) })
	}, natstest.Patience, poll, "processes of before the reload are there")
	goOn("their end")
}

// TestQuietStreamsLiveBehindAProxy for longer than the minute after which many
// proxies close what is quiet. They are more than the files that a proxy may have
// by the limit under which it is started. Clients that go away, from whom a proxy
// hears nothing but that, are gone at the edges too.
func TestQuietStreamsLiveBehindAProxy(t *testing.T) {
	t.Parallel()
	b := startBehind(t, []string{"HEARTBEAT_INTERVAL", "1h"})
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.program, func(t *testing.T) {
			t.Parallel()
			b.quiet(t, startProxy(t, k, b.ports))
		})
	}
}

func (b *behind) quiet(t *testing.T, p *proxy) {
	const (
		silence = 65 * time.Second
		each    = 80 // clients of a browser; a connection has 100 streams at least
		watch   = 100 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(t.Context(), silence+2*natstest.Patience)
	defer cancel()
	topic := "quiet." + p.program
	open := func(proto int) (*browser, []*streamtest.Client) {
		browser := p.browser(proto)
		t.Cleanup(browser.CloseIdleConnections)
		clients := make([]*streamtest.Client, each)
		for i := range clients {
			var err error
			clients[i], err = (&eventSource{browser: browser, topics: []string{topic}}).connect(ctx)
			require.NoError(t, err)
			t.Cleanup(clients[i].Close)
			clients[i].System(t, "open")
		}
		return browser, clients
	}
	_, stay := open(2)
	_, closed := open(2)
	_, old := open(1)
	crashed, _ := open(2)
	for _, c := range append(closed, old...) {
		c.Close()
	}
	crashed.crash()
	ended := func() int { return len(b.edges[0].ends(topic)) + len(b.edges[1].ends(topic)) }
	const gone = 3 * each
	require.Eventually(t, func() bool { return ended() >= gone }, natstest.Patience, watch, "clients that are gone are counted")

	heard := make(chan string, len(stay))
	for _, c := range stay {
		go func() { // the test's end ends the stream
			b, err := c.Next()
			heard <- fmt.Sprintf("%s %s %v", b.Type, b.Data, err)
		}()
	}
	select {
	case <-time.After(silence):
	case text := <-heard:
		require.FailNow(t, "not silent", text)
	}
	assert.Equal(t, gone, ended(), "streams that have ended")
	_, err := b.log.JS.Publish(t.Context(), event.Subject(topic), []byte("1"))
	require.NoError(t, err)
	for range stay {
		require.Equal(t, "data 1 <nil>", natstest.Receive(t, heard))
	}
}

// TestFullEdgesBehindAProxy: who comes is served while one edge has a place. Where
// none has, an EventSource is told in-band to come back, and others get the status.
func TestFullEdgesBehindAProxy(t *testing.T) {
	t.Parallel()
	b := startBehind(t, nil, []string{"MAX_CONNECTIONS", "2"}, []string{"MAX_CONNECTIONS", "8"})
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.program, func(t *testing.T) { b.fill(t, startProxy(t, k, b.ports)) })
	}
}

// TestLimitsOfAddressesReachThroughAProxy: the edges count by the client's address,
// as the proxy says it, whatever the client says. Who has too many is told in-band,
// if it is an EventSource, and others are served.
func TestLimitsOfAddressesReachThroughAProxy(t *testing.T) {
	t.Parallel()
	b := startBehind(t, []string{"TRUSTED_PROXIES", "127.0.0.1", "MAX_CONNECTIONS_PER_ADDRESS", "2"})
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.program, func(t *testing.T) { b.limit(t, startProxy(t, k, b.ports)) })
	}
}

func (b *behind) limit(t *testing.T, p *proxy) {
	one, other := p.browser(2), p.browser(2)
	one.from, other.from = net.IPv4(127, 0, 0, 9), net.IPv4(127, 0, 0, 8)
	defer one.CloseIdleConnections()
	defer other.CloseIdleConnections()
	ctx := natstest.Context(t)
	for range 2 * len(b.edges) {
		c, first := open(ctx, t, one)
		defer c.Close()
		require.Equal(t, "open", first)
	}
	c, first := open(ctx, t, one)
	defer c.Close()
	assert.Equal(t, strings.Replace(p.full, "connections", "from_address", 1), first)
	for range 3 {
		resp, err := one.get(ctx, "", "Accept", "*/*", "X-Forwarded-For", "203.0.113.9", "Forwarded", "for=203.0.113.9")
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, 429, resp.StatusCode)
	}
	c, first = open(ctx, t, other)
	defer c.Close()
	assert.Equal(t, "open", first)

	one.crash()
	other.crash()
	b.edges[0].Eventually(func() bool { return b.connected() == 0 })
}

// TestAProxyHasALimitForAnAddress of its own, where it can: it does not answer who
// is beyond it, which an EventSource survives.
func TestAProxyHasALimitForAnAddress(t *testing.T) {
	t.Parallel()
	b := startBehind(t, nil)
	for i := range kinds {
		k := &kinds[i]
		if k.limit == "" {
			continue
		}
		t.Run(k.program, func(t *testing.T) {
			beyond(t, startProxy(t, k, b.ports, [2]string{k.limit, strings.Replace(k.limit, "2048", "3", 1)}))
		})
	}
}

func beyond(t *testing.T, p *proxy) {
	one, other := p.browser(1), p.browser(1)
	one.from, other.from = net.IPv4(127, 0, 0, 9), net.IPv4(127, 0, 0, 8)
	ctx := natstest.Context(t)
	answered := func() bool {
		resp, err := one.get(ctx, "", "Accept", "text/event-stream")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	}
	var clients []*streamtest.Client
	for range 3 {
		c, first := open(ctx, t, one)
		defer c.Close()
		require.Equal(t, "open", first)
		clients = append(clients, c)
	}
	resp, err := one.get(ctx, "", "Accept", "text/event-stream")
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err, "no answer")
	c, first := open(ctx, t, other)
	defer c.Close()
	assert.Equal(t, "open", first)

	clients[0].Close()
	require.Eventually(t, answered, natstest.Patience, poll, "it comes back")
}

// open is a new EventSource and the first that it hears; "" for nothing at all.
func open(ctx context.Context, t *testing.T, browser *browser) (*streamtest.Client, string) {
	t.Helper()
	c, err := (&eventSource{browser: browser, topics: []string{"a", "b.>"}}).connect(ctx)
	require.NoError(t, err)
	first, err := c.Next()
	if err != nil {
		require.ErrorIs(t, err, io.EOF)
		return c, ""
	}
	return c, strings.TrimSpace(first.System().Type + " " + string(first.System().Reason))
}

func (b *behind) fill(t *testing.T, p *proxy) {
	const places = 2 + 8
	browser := p.browser(2)
	defer browser.CloseIdleConnections()
	ctx := natstest.Context(t)
	status := func(accept, query string) int {
		resp, err := browser.get(ctx, query, "Accept", accept)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for range places {
		c, first := open(ctx, t, browser)
		defer c.Close()
		require.Equal(t, "open", first)
	}
	c, first := open(ctx, t, browser)
	defer c.Close()
	assert.Equal(t, p.full, first)
	assert.Equal(t, 503, status("*/*", ""))
	assert.Equal(t, 200, status("*/*", "busy=inband"))
	assert.Equal(t, 503, status("text/event-stream", "busy=status"))
	assert.Equal(t, 400, status("text/event-stream", "topics=a"), "the client's own query is kept")

	browser.crash()
	b.edges[0].Eventually(func() bool { return b.connected() == 0 })
}
