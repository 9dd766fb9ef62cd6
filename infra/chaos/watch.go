package main

import (
	"context"
	"sync"
	"time"

	"sluice/infra/chaos/oracle"
)

const (
	lookEvery = 500 * time.Millisecond
	// A look that comes so late says that this program was not running: what it
	// sees of others then means nothing.
	lateLook    = time.Second
	askPatience = 2 * time.Second
)

// watch looks for edges that are ready and silent until ctx ends.
func (c *chaos) watch(ctx context.Context) {
	w := oracle.Watch{After: c.cfg.Silence}
	ready := make([]oracle.Time, len(c.world.Edges)) // since when, below 0 for not
	for i := range ready {
		ready[i] = -1
	}
	awake, last := c.book.Now(), time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.askReady(ctx, ready)
		now := c.book.Now()
		if time.Since(last) > lookEvery+lateLook+askPatience {
			awake = now
		}
		last = time.Now()
		flowing, ok, _ := c.book.Flow()
		if !ok {
			continue
		}
		c.look(&w, now, awake, flowing, ready)
	}
}

// look looks at all clients once. Those of one edge that are found are one
// violation.
func (c *chaos) look(w *oracle.Watch, now, awake, flowing oracle.Time, ready []oracle.Time) {
	found := make([]oracle.Violation, len(c.world.Edges))
	for i, one := range c.clients {
		s := one.State()
		if one.Kind.Slow || !s.Busy || s.Edge < 0 || ready[s.Edge] < 0 {
			continue
		}
		linked, healthy := c.world.Edges[s.Edge].Front.Healthy()
		if !healthy {
			continue
		}
		v, bad := w.See(oracle.Look{
			Now: now, Client: i, Connected: s.Connected, Fed: s.Fed, Ready: ready[s.Edge],
			Linked: c.book.At(linked), Flowing: flowing, Awake: awake,
		})
		if !bad {
			continue
		}
		if at := &found[s.Edge]; at.Count == 0 {
			v.What = c.world.Edges[s.Edge].Name + ": " + v.What
			*at = v
		} else {
			at.Count++
		}
	}
	for _, v := range found {
		if v.Count > 0 {
			c.mu.Lock()
			c.silence = append(c.silence, v)
			c.mu.Unlock()
			c.out.line("+%.1fs  %s: %d clients, the first is %s: %s", now.Seconds(), v.Sin, v.Count, c.clients[v.Client].Name, v.What)
		}
	}
}

// askReady asks all edges whether they are ready, and notes since when.
func (c *chaos) askReady(ctx context.Context, ready []oracle.Time) {
	var wg sync.WaitGroup
	for i, e := range c.world.Edges {
		wg.Go(func() {
			ok := c.get(ctx, e.URL+"/readyz") == nil
			switch {
			case !ok:
				ready[i] = -1
			case ready[i] < 0:
				ready[i] = c.book.Now()
			}
		})
	}
	wg.Wait()
}
