package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"time"
)

const (
	// blockBytes is more than the bytes of an event in cuts, with the framing of
	// HTTP before it.
	blockBytes = 200
	// readTime is left to a client for what comes before a cut.
	readTime = 20 * time.Millisecond
)

// cuts has the clients that are careless with their cursor follow an edge while
// each connection is cut one byte later than the one before: with what they need
// they miss nothing; as they come, with ?id=last, no more than what is cut right
// after its id line, before the end of its block.
func (h *harness) cuts(ctx context.Context, clients []*client) error {
	var careless, whole []*client // whole: they take no half of an id
	for _, c := range clients {
		if c.Careless {
			careless = append(careless, c)
		}
		if c.Careless && c.Lang == "js" {
			whole = append(whole, c)
		}
	}
	if len(careless) == 0 {
		return nil
	}
	w, err := h.newWorld(ctx, "cuts", "RETRY=10ms")
	if err != nil {
		return err
	}
	defer w.close()
	for range 2 * blockBytes {
		if err := w.publish(ctx); err != nil {
			return err
		}
	}
	if err := w.pub.Flush(ctx); err != nil {
		return err
	}
	var with, without error
	var wg sync.WaitGroup
	wg.Go(func() { with = h.cutEach(ctx, w, careless, true, "") })
	wg.Go(func() { without = h.cutEach(ctx, w, whole, false, "&id=last") })
	wg.Wait()
	return errors.Join(with, without)
}

// cutEach has clients follow w, each through a cutter of its own.
func (h *harness) cutEach(ctx context.Context, w *world, clients []*client, needs bool, query string) error {
	cutters := map[*client]*cutter{}
	for _, c := range clients {
		p, err := newCutter(w.addr)
		if err != nil {
			return err
		}
		defer p.close()
		cutters[c] = p
	}
	all, stop, err := h.followers(ctx, clients, needs, func(c *client) string { return cutters[c].url() + "?from=start" + query })
	defer stop()
	if err != nil {
		return err
	}
	log := w.log()
	if needs {
		return exact(ctx, all, log)
	}
	var errs []error
	for _, f := range all {
		last := func(v view) bool { return v.got(log[len(log)-1]) }
		v, err := f.watch(ctx, last)
		lost := cutters[f.client].afterID()
		if err == nil && len(missing(v.ids(), log)) > lost {
			err = fmt.Errorf("%s with ?id=last: %d events of %d, where %d were cut after their id line", f.client.Adapter, len(v.events), len(log), lost)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// cutter is a proxy that cuts connection number n after the first block, which
// is the edge's own, and n bytes more; from blockBytes on it cuts nothing.
type cutter struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	n      int // connections
	ids    int // of them, cut right after an id line
	conns  map[net.Conn]bool
}

func newCutter(target string) (*cutter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &cutter{target: target, listener: listener, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.pass(conn) })
		}
	})
	return p, nil
}

func (p *cutter) url() string { return "http://" + p.listener.Addr().String() + "/stream" }

func (p *cutter) close() {
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.wg.Wait()
}

// keep holds a connection to be closed at the end; it is false after that.
func (p *cutter) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
	}
	return !p.closed
}

func (p *cutter) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

func (p *cutter) pass(client net.Conn) {
	edge, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	defer p.drop(client, edge)
	if !p.keep(client, edge) {
		return
	}
	p.wg.Go(func() { _, _ = io.Copy(edge, client); _ = edge.Close() })
	p.answer(client, edge)
}

func (p *cutter) answer(client net.Conn, edge io.Reader) {
	var seen []byte // all that the edge has sent
	limit := -1     // of seen, once it is known
	for b := make([]byte, 4096); ; {
		n, err := edge.Read(b)
		from := len(seen)
		seen = append(seen, b[:n]...)
		if first := bytes.Index(seen, []byte("\n\n")); first >= 0 && limit < 0 {
			rest := p.rest()
			if rest < 0 {
				if _, err := client.Write(seen[from:]); err == nil {
					_, _ = io.Copy(client, edge)
				}
				return
			}
			limit = first + 2 + rest
		}
		to := len(seen)
		if limit >= 0 {
			to = min(to, limit)
		}
		if _, gone := client.Write(seen[from:to]); err != nil || gone != nil {
			return
		}
		if to == limit {
			p.note(seen[:to])
			time.Sleep(readTime)
			return
		}
	}
}

// idLine is what a connection ends with that is cut right after an id line.
var idLine = regexp.MustCompile(`\nid: [0-9a-f-]{36}\n$`)

func (p *cutter) note(sent []byte) {
	if idLine.Match(sent) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ids++
	}
}

// afterID is how many connections were cut right after an id line.
func (p *cutter) afterID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids
}

// rest is how many bytes the next connection has after its first block, less
// than 0 for all.
func (p *cutter) rest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.n > blockBytes {
		return -1
	}
	return p.n - 1
}
