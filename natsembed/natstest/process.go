package natstest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
)

// nodeEnv tells a test binary to be a NATS server: natsembed.Options as JSON.
const nodeEnv = "SLUICE_NATSTEST_NODE"

// readyLine is what such a server prints when clients can connect.
const readyLine = "ready"

// RunNodeIfAsked is the first line of TestMain in a package whose tests use a
// ProcessCluster. In a process that a ProcessCluster started it runs a NATS
// server and never returns; else it does nothing.
func RunNodeIfAsked() {
	if text := os.Getenv(nodeEnv); text != "" {
		if err := runNode(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// runNode runs a server until its parent closes its standard input or dies.
func runNode(text string) error {
	o := natsembed.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("%s: %w", nodeEnv, err)
	}
	s, err := natsembed.Start(context.Background(), o)
	if err != nil {
		return err
	}
	defer s.Shutdown()
	fmt.Println(readyLine)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// ProcessCluster is a JetStream cluster of which every node is a process of
// its own, so that it can die as processes die. Its methods are for one
// goroutine.
type ProcessCluster struct {
	tb    testing.TB
	nodes []*process
}

// process is one node: this test binary, run again.
type process struct {
	opts  natsembed.Options
	cmd   *exec.Cmd // nil while it is dead
	stdin io.Closer
	log   string // file of its standard error
}

// StartProcessCluster starts n nodes and returns when streams of n replicas
// can be created. They end with the test. The package's TestMain must call
// RunNodeIfAsked first.
func StartProcessCluster(tb testing.TB, n int) *ProcessCluster {
	tb.Helper()
	c := &ProcessCluster{tb: tb}
	for try := 1; ; try++ {
		c.nodes = nil
		for _, o := range clusterOptions(tb, n) {
			p := &process{opts: o, log: filepath.Join(tb.TempDir(), "stderr.log")}
			tb.Cleanup(p.kill)
			c.nodes = append(c.nodes, p)
		}
		err := c.start(c.nodes...)
		if err == nil {
			break
		}
		if try == startTries {
			require.NoError(tb, err)
		}
	}
	c.waitReady()
	return c
}

// start starts processes side by side and waits until each is ready. When one
// cannot start, all are killed.
func (c *ProcessCluster) start(nodes ...*process) error {
	errs := make(chan error, len(nodes))
	for _, p := range nodes {
		go func() { errs <- p.start() }()
	}
	var err error
	for range nodes {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		for _, p := range nodes {
			p.kill()
		}
	}
	return err
}

// waitReady waits until a stream with a replica on every node can be created.
func (c *ProcessCluster) waitReady() {
	c.tb.Helper()
	const probe = "natstest_probe"
	nc, err := nats.Connect(strings.Join(c.URLs(), ","))
	require.NoError(c.tb, err)
	defer nc.Close()
	js := jetStream(c.tb, nc)
	require.Eventually(c.tb, func() bool {
		ctx, cancel := context.WithTimeout(c.tb.Context(), 2*time.Second)
		defer cancel()
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: probe, Subjects: []string{probe}, Storage: jetstream.MemoryStorage, Replicas: len(c.nodes),
		})
		if err != nil {
			return false
		}
		err = js.DeleteStream(ctx, probe)
		return err == nil
	}, Patience, pollFor, "the cluster does not form")
}

func (p *process) start() error {
	text, err := json.Marshal(p.opts)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	stderr, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer stderr.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(text))
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.stdin = cmd, stdin
	patience := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() }) // ends its output
	defer patience.Stop()
	if got, _ := bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(got) != readyLine {
		p.kill()
		said, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s said %q instead of %q; does TestMain call RunNodeIfAsked? Its log:\n%s",
			p.opts.Name, got, readyLine, said)
	}
	return nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed: the error says nothing more
	_ = p.stdin.Close()
	p.cmd = nil
}

// URLs are the addresses of all nodes, also of the dead ones.
func (c *ProcessCluster) URLs() []string {
	var all []natsembed.Options
	for _, p := range c.nodes {
		all = append(all, p.opts)
	}
	return urls(all)
}

// Connect connects to whichever node answers; see Server.Connect.
func (c *ProcessCluster) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	return connect(tb, strings.Join(c.URLs(), ","), opts)
}

// JetStream is JetStream on a connection of its own.
func (c *ProcessCluster) JetStream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, c.Connect(tb))
}

// Kill ends the node i with SIGKILL, as a crash does.
func (c *ProcessCluster) Kill(i int) { c.nodes[i].kill() }

// Restart starts the node i again on its ports and its store, and waits until
// the cluster is whole. The other nodes must run.
func (c *ProcessCluster) Restart(i int) {
	c.tb.Helper()
	c.Kill(i)
	require.NoError(c.tb, c.start(c.nodes[i]))
	c.waitReady()
}

// RestartAll ends all nodes with SIGKILL, as a power cut does, and starts them
// again side by side. It does not wait for the cluster to be whole.
func (c *ProcessCluster) RestartAll() {
	c.tb.Helper()
	for i := range c.nodes {
		c.Kill(i)
	}
	require.NoError(c.tb, c.start(c.nodes...))
}

// StreamLeader is the index of the node that leads a stream; it waits until
// there is one that lives.
func (c *ProcessCluster) StreamLeader(tb testing.TB, stream string) int {
	tb.Helper()
	nc, err := nats.Connect(strings.Join(c.URLs(), ","))
	require.NoError(tb, err)
	defer nc.Close()
	js := jetStream(tb, nc)
	leader := -1
	require.Eventually(tb, func() bool {
		ctx, cancel := context.WithTimeout(tb.Context(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		for i, p := range c.nodes {
			if p.cmd != nil && s.CachedInfo().Cluster.Leader == p.opts.Name {
				leader = i
			}
		}
		return leader >= 0
	}, Patience, pollFor, "the stream %s has no leader", stream)
	return leader
}
