package world

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/natsembed"
)

// nodeEnv tells this program to be a NATS node: nodeOptions as JSON.
const nodeEnv = "SLUICE_CHAOS_NODE"

// nodeOptions is what a node is started with.
type nodeOptions struct {
	natsembed.Options
	HTTPPort int
}

// nowhere is the address under which a node tells others of itself: nobody
// answers there, so all connections between nodes are those through the proxies.
const nowhere = "127.0.0.1:1"

// RunNodeIfAsked is the first line of main. In a process that a World started as
// a NATS node it runs the node and never returns; else it does nothing.
func RunNodeIfAsked() {
	text := os.Getenv(nodeEnv)
	if text == "" {
		return
	}
	if err := runNode(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runNode runs a server until its parent closes its standard input or dies.
func runNode(text string) error {
	var o nodeOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("%s: %w", nodeEnv, err)
	}
	outliveFullDisk()
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Configure = func(opts *server.Options) {
		opts.Cluster.Advertise = nowhere
		opts.Cluster.NoAdvertise = true // clients too know only the proxies
		opts.HTTPHost, opts.HTTPPort = natsembed.DefaultHost, o.HTTPPort
	}
	s, err := natsembed.Start(context.Background(), o.Options)
	if err != nil {
		return err
	}
	defer s.Shutdown()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Node is one NATS server.
type Node struct {
	*Process
	URL  string // for clients, past all proxies
	HTTP string // its monitoring
	// Routes are the proxies between this node and each other one, by the
	// other's index: those that it dials and those through which it is dialled.
	Routes map[int][]*Link
	// Clients are the edges' proxies to this node.
	Clients []*Link
}

// FillDisk has every write of the node to a file fail, or no more.
func (n *Node) FillDisk(full bool) error {
	pid := n.Pid()
	if pid == 0 {
		return nil
	}
	if err := fillDisk(pid, full); err != nil {
		return fmt.Errorf("the disk of %s: %w", n.Name, err)
	}
	return nil
}

// storeDir is where node i keeps its files.
func (w *World) storeDir(i int) string { return filepath.Join(w.dir, "store", strconv.Itoa(i)) }

func (w *World) addNodes(n int) error {
	free, err := w.ports.free(3 * n)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	client, cluster, monitor := free[:n], free[n:2*n], free[2*n:]
	for i := range n {
		w.Nodes = append(w.Nodes, &Node{
			URL:    "nats://" + loopback(client[i]),
			HTTP:   "http://" + loopback(monitor[i]),
			Routes: map[int][]*Link{},
		})
	}
	name := fmt.Sprintf("chaos-%d", os.Getpid()) // nodes of another world never join
	for i, node := range w.Nodes {
		// The route to itself is not dialled; it counts for the size of the cluster.
		routes := []string{"nats://" + loopback(cluster[i])}
		for j, other := range w.Nodes {
			if i == j {
				continue
			}
			link, err := w.link(fmt.Sprintf("route n%d-n%d", i+1, j+1), loopback(cluster[j]))
			if err != nil {
				return err
			}
			routes = append(routes, "nats://"+link.Addr())
			node.Routes[j], other.Routes[i] = append(node.Routes[j], link), append(other.Routes[i], link)
		}
		text, err := json.Marshal(nodeOptions{HTTPPort: monitor[i], Options: natsembed.Options{
			Name: fmt.Sprintf("n%d", i+1), StoreDir: w.storeDir(i), Port: client[i],
			Cluster: name, ClusterPort: cluster[i], Routes: routes,
		}})
		if err != nil {
			return err
		}
		node.Process = w.process(fmt.Sprintf("n%d", i+1), answers(node.HTTP+"/varz"), func() *exec.Cmd {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), nodeEnv+"="+string(text))
			cmd.Stdin = w.lifeline
			return cmd
		})
	}
	return nil
}
