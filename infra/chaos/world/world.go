package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/infra/internal/guard"
)

// endPatience is how long an edge may take to end by itself.
const endPatience = 30 * time.Second

// Options is how a world is made.
type Options struct {
	Dir   string     // for the stores and logs of the processes
	Edge  string     // the edge's binary
	Nodes int        // NATS servers
	Edges int        // edges
	Env   []string   // settings of the edges, KEY=VALUE
	Own   [][]string // more of them, for single edges
}

// World is the processes and the links between them.
type World struct {
	Nodes []*Node
	Edges []*Edge

	dir      string
	group    *guard.Guard
	lifeline *os.File // the nodes' standard input: they end when it is closed
	hold     *os.File // its other end
	proxies  *proxies
	ports    *ports
}

// Edge is one edge.
type Edge struct {
	*Process
	URL     string  // past all proxies
	Front   *Link   // between clients and the edge
	Backend []*Link // between the edge and each node
}

// Open starts a world: the nodes, and the edges when started is called and the
// stream is there.
func Open(ctx context.Context, o Options) (w *World, err error) {
	w = &World{dir: o.Dir, proxies: newProxies(), ports: newPorts()}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if w.group, err = guard.Start(); err != nil {
		return w, err
	}
	if w.lifeline, w.hold, err = os.Pipe(); err != nil {
		return w, err
	}
	if err := w.addNodes(o.Nodes); err != nil {
		return w, err
	}
	if err := w.addEdges(o); err != nil {
		return w, err
	}
	return w, together(w.Nodes, func(n *Node) error { return n.Start(ctx) })
}

// StartEdges starts the edges and waits until they are ready.
func (w *World) StartEdges(ctx context.Context) error {
	return together(w.Edges, func(e *Edge) error { return e.Start(ctx) })
}

// together calls f for all at once.
func together[T any](all []T, f func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { errs[i] = f(one) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *World) addEdges(o Options) error {
	free, err := w.ports.free(o.Edges)
	if err != nil {
		return err
	}
	for i, port := range free {
		name := fmt.Sprintf("e%d", i+1)
		edge := &Edge{URL: "http://" + loopback(port)}
		if edge.Front, err = w.link("clients-"+name, loopback(port)); err != nil {
			return err
		}
		var urls []string
		for j := range w.Nodes {
			// Each edge begins its list with another node.
			node := w.Nodes[(i+j)%len(w.Nodes)]
			link, err := w.link(name+"-"+node.Name, strings.TrimPrefix(node.URL, "nats://"))
			if err != nil {
				return err
			}
			edge.Backend, node.Clients = append(edge.Backend, link), append(node.Clients, link)
			urls = append(urls, "nats://"+link.Addr())
		}
		env := append([]string{
			"HOST=127.0.0.1", "PORT=" + strconv.Itoa(port), "NATS_URL=" + strings.Join(urls, ","),
			"CREATE_STREAM=false", "FUNCTIONS=stream,health",
		}, o.Env...)
		if i < len(o.Own) {
			env = append(env, o.Own[i]...)
		}
		edge.Process = w.process(name, answers(edge.URL+"/readyz"), func() *exec.Cmd {
			cmd := exec.Command(o.Edge)
			cmd.Env = env
			return cmd
		})
		w.Edges = append(w.Edges, edge)
	}
	return nil
}

func (w *World) process(name string, ready func(context.Context) error, command func() *exec.Cmd) *Process {
	return &Process{Name: name, group: w.group, log: logFile(w.dir, name), ready: ready, command: command}
}

// NodeURLs are the addresses of all nodes, past the proxies.
func (w *World) NodeURLs() (urls []string) {
	for _, n := range w.Nodes {
		urls = append(urls, n.URL)
	}
	return urls
}

// Isolate holds all that goes between node i and the other nodes until the
// function that it returns is called.
func (w *World) Isolate(i int) (heal func()) {
	var heals []func()
	for _, links := range w.Nodes[i].Routes {
		for _, l := range links {
			heals = append(heals, l.Hold(Both))
		}
	}
	return All(heals)
}

// All is a function that calls all of them.
func All(fs []func()) func() {
	return func() {
		for _, f := range fs {
			f()
		}
	}
}

// Close ends all processes and closes all links.
func (w *World) Close() {
	_ = together(w.Edges, func(e *Edge) error {
		if e.Process == nil {
			return nil
		}
		_ = e.Resume()
		return e.Terminate(endPatience)
	})
	for _, n := range w.Nodes {
		if n.Process != nil {
			n.Kill()
		}
	}
	if w.group != nil {
		w.group.End()
	}
	for _, f := range []*os.File{w.lifeline, w.hold} {
		if f != nil {
			_ = f.Close()
		}
	}
	w.proxies.close()
}

// The ports of a world are below those that systems give to outgoing
// connections, so that they are still free when a process is started again. Each
// world begins in a block of its own, so that two do not try the same ones.
const (
	firstPort, lastPort = 15000, 32000
	portBlock           = 200
)

// ports gives each port once.
type ports struct{ next int }

func newPorts() *ports {
	return &ports{firstPort + os.Getpid()%((lastPort-firstPort)/portBlock)*portBlock}
}

// free are n ports that nobody listens on.
func (p *ports) free(n int) (found []int, err error) {
	for range lastPort - firstPort {
		if len(found) == n {
			return found, nil
		}
		port := p.next
		if p.next++; p.next == lastPort {
			p.next = firstPort
		}
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		found = append(found, port)
	}
	return nil, fmt.Errorf("found no %d free ports from %d to %d", n, firstPort, lastPort)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Guard is the group of all processes of the world.
func (w *World) Guard() *guard.Guard { return w.group }
