package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"sluice/infra/chaos/client"
	"sluice/infra/chaos/fault"
	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/infra/chaos/report"
	"sluice/infra/chaos/stream"
	"sluice/infra/chaos/world"
)

const (
	nodes, edges = 3, 2
	writers      = 4
)

// settings are the edges' in a run: times short enough that everything happens
// in it.
var settings = []string{
	"HEARTBEAT_INTERVAL=2s", "RETRY=1s", "DRAIN_TIMEOUT=3s", "STALL_TIMEOUT=5s",
	"RING_EVENTS=2000", "MAX_AGE=90s", "LOG_LEVEL=info",
}

// own are the settings of single edges: the second has a ring so small that who
// comes back reads the log itself.
var own = [][]string{nil, {"RING_EVENTS=100"}}

// chaos is one run.
type chaos struct {
	cfg     *config
	out     *printer
	dir     string
	book    *oracle.Book
	world   *world.World
	stream  *stream.Stream
	load    *load.Load
	jobs    *load.Jobs
	clients []*client.Client
	web     *http.Client // asks edges directly
	idle    []usage      // of the edges, before the first client came

	mu      sync.Mutex
	steps   []report.Step
	silence []oracle.Violation
}

// printer writes whole lines, from any goroutine.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// open builds and starts everything but the load and the clients.
func open(ctx context.Context, cfg *config, out io.Writer) (c *chaos, err error) {
	c = &chaos{cfg: cfg, out: &printer{w: out}}
	c.web = &http.Client{Timeout: askPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "sluice-chaos-"); err != nil {
		return c, err
	}
	edge, err := c.binary(ctx, cfg.Edge, "edge", "sluice/functions/cmd/edge")
	if err != nil {
		return c, err
	}
	publisher, err := c.binary(ctx, cfg.Publisher, "publisher", "sluice/publisher/cmd/publisher")
	if err != nil {
		return c, err
	}
	c.out.line("starting %d NATS nodes and %d edges in %s", nodes, edges, c.dir)
	c.world, err = world.Open(ctx, world.Options{Dir: c.dir, Edge: edge, Nodes: nodes, Edges: edges, Env: append(settings, cfg.Env...), Own: own})
	if err != nil {
		return c, err
	}
	c.book = oracle.NewBook()
	if c.stream, err = stream.Open(c.world.NodeURLs(), nodes, c.book); err != nil {
		return c, err
	}
	if err := c.stream.Create(ctx); err != nil {
		return c, err
	}
	if err := c.world.StartEdges(ctx); err != nil {
		return c, err
	}
	c.load = &load.Load{Book: c.book, URLs: c.world.NodeURLs(), Rate: cfg.Rate}
	c.jobs = &load.Jobs{Binary: publisher, URLs: c.world.NodeURLs(), Book: c.book, Log: filepath.Join(c.dir, "jobs.log"), Group: c.world.Guard()}
	for _, e := range c.world.Edges {
		u, err := c.usageOf(ctx, e.URL)
		if err != nil {
			return c, err
		}
		c.idle = append(c.idle, u)
	}
	c.makeClients()
	return c, nil
}

// binary is a command of this module: given, or built.
func (c *chaos) binary(ctx context.Context, given, name, path string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	c.out.line("building %s", path)
	file := filepath.Join(c.dir, name)
	if said, err := exec.CommandContext(ctx, "go", "build", "-o", file, path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", path, err, said)
	}
	return file, nil
}

// kinds are how the clients are, one after the other.
var kinds = []client.Kind{
	{InBand: true}, {}, {Slow: true, InBand: true}, {Hopper: true, InBand: true}, {H2C: true, InBand: true},
	{CloudEvents: true, InBand: true}, {InBand: true}, {Hopper: true}, {H2C: true, CloudEvents: true, InBand: true}, {},
}

func (c *chaos) makeClients() {
	var places []client.Place
	for _, e := range c.world.Edges {
		places = append(places, client.Place{Near: "http://" + e.Front.Addr(), Far: e.URL})
	}
	for i := range c.cfg.Clients {
		r := rand.New(rand.NewPCG(c.cfg.Seed, 1000+uint64(i)))
		c.clients = append(c.clients, client.New(i+1, kinds[i%len(kinds)], places, c.book, r))
	}
}

// stage is what faults act on.
func (c *chaos) stage() *fault.Stage {
	return &fault.Stage{World: c.world, Stream: c.stream, Load: c.load, Jobs: c.jobs, Crowd: c.crowd}
}

// close ends everything. The directory stays if its content is of use.
func (c *chaos) close() {
	if c.stream != nil {
		c.stream.Close()
	}
	if c.world != nil {
		c.world.Close()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// keep leaves the directory where it is, with what the log said of itself.
func (c *chaos) keep(r *oracle.Record) {
	var text bytes.Buffer
	for _, e := range r.Epochs {
		fmt.Fprintf(&text, "stream %d from %s, deletion %s to %s\n", e.ID, e.From, e.Deleting, e.To)
	}
	for _, o := range r.Observations {
		fmt.Fprintf(&text, "%s stream %d holds %d to %d\n", o.Asked, o.Epoch, o.First, o.Last)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "stream.log"), text.Bytes(), 0o600); err != nil {
		c.out.line("%v", err)
	}
	c.out.line("logs and stores of the processes, and what the stream held, are in %s", c.dir)
	c.dir = ""
}

// errFound is how a run ends that has found something.
var errFound = errors.New("the promise was broken")
