package natstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
)

// Cluster is some servers in this process that form one JetStream cluster.
type Cluster struct {
	Nodes []*Server
	tb    testing.TB
	links *Links // nil when the nodes speak to each other directly
}

// StartCluster starts n servers and returns when they have a leader that sees
// all of them. They end with the test.
func StartCluster(tb testing.TB, n int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for try := 1; ; try++ {
		err := c.start(clusterOptions(tb, n))
		if err == nil {
			break
		}
		for _, node := range c.Nodes {
			node.Stop()
		}
		if c.Nodes = nil; try == startTries {
			require.NoError(tb, err)
		}
	}
	c.waitReady()
	return c
}

// clusterOptions are the options of n nodes, all with routes to each other.
func clusterOptions(tb testing.TB, n int) []natsembed.Options {
	tb.Helper()
	free := Ports(tb, 2*n)
	var routes []string
	for _, port := range free[:n] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	opts := make([]natsembed.Options, n)
	for i := range opts {
		opts[i] = natsembed.Options{
			Name:        nodeName(i),
			StoreDir:    tb.TempDir(),
			Port:        free[n+i],
			Cluster:     "natstest",
			ClusterPort: free[i],
			Routes:      routes,
		}
	}
	return opts
}

func nodeName(i int) string { return fmt.Sprintf("node%d", i) }

func (c *Cluster) start(opts []natsembed.Options) error {
	for _, o := range opts {
		o.Logger = testLog(c.tb)
		run, err := natsembed.Start(c.tb.Context(), o)
		if err != nil {
			return err
		}
		node := &Server{tb: c.tb, opts: o, run: run}
		c.links.started(len(c.Nodes), run.NATS().ID())
		c.Nodes = append(c.Nodes, node)
		c.tb.Cleanup(node.Stop)
	}
	return nil
}

// waitReady waits until a leader sees all nodes that exist and those that run
// are current.
func (c *Cluster) waitReady() {
	c.tb.Helper()
	require.Eventually(c.tb, func() bool {
		led := false
		for _, node := range c.Nodes {
			if node.run == nil {
				continue
			}
			ns := node.run.NATS()
			led = led || ns.JetStreamIsLeader() && len(ns.JetStreamClusterPeers()) == len(c.Nodes)
			if !ns.JetStreamIsCurrent() {
				return false
			}
		}
		return led
	}, Patience, pollFor, "the cluster has no leader that sees all nodes")
}

// Node is the node i, from 0.
func (c *Cluster) Node(i int) *Server { return c.Nodes[i] }

// Restart restarts the node i and waits until the cluster is whole again. The
// other nodes must run.
func (c *Cluster) Restart(i int) {
	c.tb.Helper()
	c.Nodes[i].Restart()
	c.links.started(i, c.Nodes[i].run.NATS().ID())
	c.waitReady()
}

// URLs are the addresses of all nodes, also of the stopped ones.
func (c *Cluster) URLs() []string { return urls(c.options()) }

func (c *Cluster) options() []natsembed.Options {
	var all []natsembed.Options
	for _, node := range c.Nodes {
		all = append(all, node.opts)
	}
	return all
}

func urls(nodes []natsembed.Options) []string {
	var all []string
	for _, o := range nodes {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return all
}

// Connect connects to whichever node answers; see Server.Connect.
func (c *Cluster) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	return connect(tb, strings.Join(c.URLs(), ","), opts)
}

// JetStream is JetStream on a connection of its own.
func (c *Cluster) JetStream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, c.Connect(tb))
}

// StreamLeader is the index of the node that leads a stream; it waits until
// there is one.
func (c *Cluster) StreamLeader(stream string) int {
	c.tb.Helper()
	leader := -1
	require.Eventually(c.tb, func() bool {
		for i, node := range c.Nodes {
			if node.run != nil && node.run.NATS().JetStreamIsStreamLeader("$G", stream) {
				leader = i
			}
		}
		return leader >= 0
	}, Patience, pollFor, "the stream %s has no leader", stream)
	return leader
}
