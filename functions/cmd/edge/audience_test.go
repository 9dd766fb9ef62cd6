package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// audience is clients that stay, and new ones that come all the time.
type audience struct {
	clients []*eventSource
	target  atomic.Uint64 // sequence at which they are done
	stay    sync.WaitGroup

	come      sync.WaitGroup
	endComing context.CancelFunc
	begun     atomic.Int64
	unserved  atomic.Int64 // times that one found no edge

	mu   sync.Mutex
	dead []string // what ended some for good
}

func newAudience(p *proxy) *audience {
	a := &audience{}
	ctx, cancel := context.WithTimeout(context.Background(), 3*natstest.Patience)
	coming, endComing := context.WithCancel(ctx)
	a.endComing = endComing
	for range 2 {
		browser := p.browser(2)
		for _, topics := range [][]string{nil, {"metric.*"}, {"alert", "log.>"}} {
			e := &eventSource{browser: browser, topics: topics}
			a.clients = append(a.clients, e)
			a.stay.Go(func() {
				a.note(e, e.follow(ctx, func(b streamtest.Block) bool {
					target := a.target.Load()
					return target > 0 && b.Seq() >= target
				}, a.noEdge))
			})
		}
		p.t.Cleanup(browser.CloseIdleConnections)
	}
	a.come.Go(func() { a.comeAndGo(coming, p) })
	p.t.Cleanup(func() {
		cancel()
		a.stay.Wait()
		a.come.Wait()
	})
	return a
}

// comeAndGo has a new client come every little while, and go when it has heard
// something.
func (a *audience) comeAndGo(ctx context.Context, p *proxy) {
	for ; ctx.Err() == nil; <-time.After(50 * time.Millisecond) {
		e := &eventSource{browser: p.browser(2)}
		err := e.follow(ctx, func(streamtest.Block) bool { return true }, a.noEdge)
		e.browser.CloseIdleConnections()
		if a.note(e, err); err == nil && ctx.Err() == nil {
			a.begun.Add(1)
		}
	}
}

func (a *audience) noEdge() { a.unserved.Add(1) }

// note notes what has ended e for good, if anything.
func (a *audience) note(e *eventSource, err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dead = append(a.dead, fmt.Sprintf("%v, connection %d: %v", e.topics, e.connections.Load(), err))
	e.dead.Store(true)
}

func (a *audience) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%d connections of those who stay, %d new clients have begun, %d times one found no edge, %d are dead",
		a.connections(), a.begun.Load(), a.unserved.Load(), len(a.dead))
}

// connections is how many those who stay have had.
func (a *audience) connections() (n int64) {
	for _, e := range a.clients {
		n += e.connections.Load()
	}
	return n
}

// pass waits until all who stay, and live, have come to a sequence, and a new one
// has begun.
func (a *audience) pass(t *testing.T, seq uint64) {
	t.Helper()
	begun := a.begun.Load()
	require.Eventually(t, func() bool {
		return a.begun.Load() > begun && !slices.ContainsFunc(a.clients, func(e *eventSource) bool { return e.seq.Load() < seq && !e.dead.Load() })
	}, natstest.Patience, poll, "not all have come to %d; %s", seq, a)
}

// comeBack waits until all who stay, and live, have been answered once more.
func (a *audience) comeBack(t *testing.T) {
	t.Helper()
	before := map[*eventSource]int64{}
	for _, e := range a.clients {
		before[e] = e.connections.Load()
	}
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(a.clients, func(e *eventSource) bool { return e.connections.Load() == before[e] && !e.dead.Load() })
	}, natstest.Patience, poll, "not all clients have come back")
}

// end takes them all away, and wants that all went well.
func (a *audience) end(t *testing.T, stored []streamtest.Stored) {
	t.Helper()
	a.endComing()
	a.come.Wait()
	a.target.Store(stored[len(stored)-1].Seq)
	a.stay.Wait()
	require.Empty(t, a.dead, "clients that met what ends an EventSource for good; %s", a)
	for i, e := range a.clients {
		require.Empty(t, e.journal.Gaps, "client %d", i)
		require.NoError(t, e.journal.Compare(streamtest.Match(stored, e.journal.Start().Seq, e.topics...)), "client %d", i)
	}
}
