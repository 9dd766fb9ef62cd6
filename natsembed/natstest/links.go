package natstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// Links are the routes between the nodes of a Cluster, as a network that can
// fail: what is cut loses every byte without a word, and nobody's connection is
// closed. They are safe for concurrent use.
type Links struct {
	listeners []net.Listener // in front of each node's routes
	targets   []string       // where the node itself listens
	tasks     sync.WaitGroup

	mu     sync.Mutex
	nodes  map[string]int // index of a node by the id of its server
	cut    map[pair]bool
	routes map[*route]bool
	closed bool
}

// pair is two nodes, the lower one first.
type pair [2]int

// route is one connection from a node to another one.
type route struct {
	ends  [2]net.Conn
	nodes pair
	known bool // who dialled is known
	lossy bool // it has lost bytes, so it is of no use any more
}

// StartLinkedCluster is StartCluster with routes that a test can cut.
func StartLinkedCluster(tb testing.TB, n int) (*Cluster, *Links) {
	tb.Helper()
	l := &Links{nodes: map[string]int{}, cut: map[pair]bool{}, routes: map[*route]bool{}}
	opts := clusterOptions(tb, n)
	var routes []string
	for _, o := range opts {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(tb, err)
		l.listeners = append(l.listeners, listener)
		l.targets = append(l.targets, fmt.Sprintf("127.0.0.1:%d", o.ClusterPort))
		routes = append(routes, "nats://"+listener.Addr().String())
	}
	tb.Cleanup(l.close) // after the nodes
	for i := range opts {
		address := l.listeners[i].Addr().String()
		opts[i].Routes = routes
		opts[i].Configure = func(o *server.Options) { o.Cluster.Advertise = address }
		l.tasks.Go(func() { l.accept(i) })
	}
	c := &Cluster{tb: tb, links: l}
	require.NoError(tb, c.start(opts))
	c.waitReady()
	return c, l
}

// Isolate cuts a node off from all others.
func (l *Links) Isolate(node int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other := range l.targets {
		if other != node {
			l.cut[ordered(node, other)] = true
		}
	}
	for r := range l.routes {
		r.lossy = r.lossy || r.known && l.cut[r.nodes]
	}
}

// Heal ends all cuts.
func (l *Links) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.cut)
	for r := range l.routes {
		if r.lossy {
			r.close()
		}
	}
}

// started says which server a node is now.
func (l *Links) started(node int, id string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[id] = node
}

func (l *Links) close() {
	for _, listener := range l.listeners {
		_ = listener.Close()
	}
	l.mu.Lock()
	l.closed = true
	for r := range l.routes {
		r.close()
	}
	l.mu.Unlock()
	l.tasks.Wait()
}

func ordered(a, b int) pair { return pair{min(a, b), max(a, b)} }

func (r *route) close() {
	for _, end := range r.ends {
		_ = end.Close()
	}
}

func (l *Links) accept(node int) {
	for {
		from, err := l.listeners[node].Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", l.targets[node])
		if err != nil { // the node is stopped
			_ = from.Close()
			continue
		}
		r := &route{ends: [2]net.Conn{from, to}}
		l.mu.Lock()
		l.routes[r] = true
		if l.closed {
			r.close()
		}
		l.mu.Unlock()
		l.tasks.Go(func() { l.forward(r, to, from) })
		l.tasks.Go(func() {
			defer l.forget(r)
			dialled := bufio.NewReader(from)
			if first, err := l.identify(r, node, dialled); err == nil {
				_, _ = to.Write(first)
				l.forward(r, dialled, to)
			}
		})
	}
}

// identify reads what the node that dialled sends first, until it has told its
// server's id.
func (l *Links) identify(r *route, node int, dialled *bufio.Reader) (first []byte, err error) {
	var connect struct{ Name string }
	for connect.Name == "" {
		line, err := dialled.ReadBytes('\n')
		if err != nil {
			r.close()
			return nil, err
		}
		first = append(first, line...)
		if text, ok := strings.CutPrefix(string(line), "CONNECT "); ok {
			if err := json.Unmarshal([]byte(text), &connect); err != nil {
				r.close()
				return nil, err
			}
		}
	}
	for ; ; time.Sleep(pollFor) {
		l.mu.Lock()
		other, ok := l.nodes[connect.Name]
		if ok || l.closed {
			r.nodes, r.known = ordered(node, other), ok
			r.lossy = ok && l.cut[r.nodes]
			l.mu.Unlock()
			return first, nil
		}
		l.mu.Unlock() // it dials before the test knows of it
	}
}

// forward takes bytes from one end to the other, or loses them, until an end
// fails.
func (l *Links) forward(r *route, from io.Reader, to net.Conn) {
	defer r.close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !l.loses(r) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *Links) loses(r *route) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.lossy
}

func (l *Links) forget(r *route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.routes, r)
}
