package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"sluice/infra/chaos/fault"
)

// config is the command's flags.
type config struct {
	Duration time.Duration `default:"10m" help:"How long faults happen. Before it the processes start, after it the clients get the time to catch up."`
	Seed     uint64        `default:"1" help:"What the faults, their order, and who they happen to are drawn from."`

	Choice `group:"faults"`

	Rate    float64 `default:"200" group:"load" help:"Events per second."`
	Clients int     `default:"40" group:"load" help:"Clients that read."`

	Processes `group:"processes"`

	Silence time.Duration `default:"20s" group:"limits" help:"How long an edge may be ready, with the log acknowledging, and give a client nothing."`
	Slack   time.Duration `default:"10s" group:"limits" help:"How long the log may still hold what a gap has passed over: replicas remove what is too old by clocks of their own."`
	Recover time.Duration `default:"60s" group:"limits" help:"How long to wait after a step until every client has events again."`

	chosen []fault.Fault
}

// Choice is which faults happen.
type Choice struct {
	Faults  []string `placeholder:"NAME" help:"Only these, comma separated; --list tells them."`
	Without []string `placeholder:"NAME" help:"All but these."`
	Each    bool     `help:"Each fault alone, once, in the order of --list, however long that takes."`
	Mixed   float64  `default:"0.4" help:"How many of the steps have several faults at once, from 0 to 1."`
	List    bool     `help:"Tell the faults, and do nothing."`
}

// Processes are what runs.
type Processes struct {
	Edge      string   `placeholder:"FILE" help:"Test this build of functions/cmd/edge in place of building it."`
	Publisher string   `placeholder:"FILE" help:"The same for publisher/cmd/publisher."`
	Env       []string `short:"e" sep:"none" placeholder:"KEY=VALUE" help:"A setting for the edges. Repeatable."`
	Keep      bool     `help:"Keep the logs and stores of the processes also when nothing was found."`
}

const description = `The promise of Sluice as a command. Three NATS nodes and two edges run as processes with proxies on every link between
them; publishers, and clients that behave like EventSource, work while faults happen, alone and mixed, drawn from a seed. An
oracle that knows every acknowledged event follows every client: each event once and in order, or told as a gap.
Ctrl+C ends the faults and gives what was found until then. Exits 0 when nothing was found, 1 when something was.

A process that is killed leaves what it has written to the system, so NATS loses nothing that it has acknowledged, and its
default of writing to the disk every two minutes does not matter here. That it survives the end of the machine is not tested.`

// parse reads the flags. done means that all is said.
func parse(args []string, stdout io.Writer) (cfg *config, done bool, err error) {
	cfg = &config{}
	parser, err := kong.New(cfg, kong.Name("chaos"), kong.Description(description),
		kong.Writers(stdout, io.Discard), kong.Exit(func(int) { done = true }))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if done || err != nil {
		return cfg, done, err
	}
	if cfg.List {
		tab := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		for _, f := range fault.All() {
			fmt.Fprintf(tab, "%s\t%s\n", f.Name, f.About)
		}
		return cfg, true, tab.Flush()
	}
	return cfg, false, cfg.check()
}

// check reports everything that is wrong at once.
func (c *config) check() error {
	var errs []error
	fail := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	const maxRate, maxClients = 5000, 5000
	fail(c.Duration <= 0, "--duration %s: a time above 0", c.Duration)
	fail(c.Rate <= 0 || c.Rate > maxRate, "--rate %g: above 0, %d at most", c.Rate, maxRate)
	fail(c.Clients < 1 || c.Clients > maxClients, "--clients %d: 1 to %d", c.Clients, maxClients)
	fail(c.Mixed < 0 || c.Mixed > 1, "--mixed %g: 0 to 1", c.Mixed)
	fail(c.Silence <= 0 || c.Slack < 0 || c.Recover <= 0, "--silence, --slack, --recover: times above 0")
	for _, kv := range c.Env {
		fail(strings.Index(kv, "=") < 1, "--env %q: want KEY=VALUE", kv)
	}
	var err error
	c.chosen, err = fault.Choose(c.Faults, c.Without)
	errs = append(errs, err)
	fail(err == nil && len(c.chosen) == 0, "--faults and --without leave nothing")
	return errors.Join(errs...)
}
