package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"sluice/infra/bench/peer"
	"sluice/infra/bench/trial"
)

// config is the command's flags.
type config struct {
	Preset []string `enum:"${presets},all" placeholder:"NAME" help:"Loads with a name, comma separated: ${presets}; all for every one. Flags given beside it win."`

	Clients     int           `default:"1000" group:"load" help:"Connections that read."`
	Rate        float64       `default:"100" group:"load" help:"Events per second, over all topics."`
	Rates       []float64     `placeholder:"N" group:"load" help:"Several rates, comma separated, one after the other in place of --rate."`
	Duration    time.Duration `default:"10s" group:"load" help:"Length of the measured window."`
	Warmup      time.Duration `default:"2s" group:"load" help:"Publishing before it."`
	Payload     int           `default:"160" group:"load" help:"Bytes of padding in each event; the JSON around it has 49 more."`
	Topics      string        `default:"one" enum:"one,own" group:"load" help:"one topic for all clients, or its own for each; --rate is then shared by them."`
	Stuck       int           `default:"0" group:"load" help:"More clients, which connect and never read."`
	ConnectRate float64       `default:"3000" group:"load" help:"Connections opened per second."`

	Storm        bool          `group:"storm" help:"Close all clients at once and let them reconnect with their cursors while publishing goes on."`
	StormBehind  int           `default:"500" group:"storm" help:"Events that each has to catch up with."`
	StormWithin  time.Duration `default:"2s" group:"storm" help:"All have sent their connect by then."`
	StormStaying int           `default:"100" group:"storm" help:"More clients, which stay connected; the latency is theirs."`
	StormLimit   time.Duration `default:"30s" group:"storm" help:"All must have caught up by then."`

	Env     []string `short:"e" sep:"none" placeholder:"KEY=VALUE" group:"server" help:"A setting for the Sluice that is started, such as PENDING_MSGS=5000. Repeatable. With AUTH=jwt and JWT_SECRET each client sends a token."`
	Binary  string   `placeholder:"FILE" group:"server" help:"Start this build of functions/cmd/local in place of building it."`
	URL     string   `name:"url" placeholder:"URL" group:"server" help:"Start nothing: measure the Sluice at this http://host:port, which no one else uses."`
	NATS    string   `name:"nats" placeholder:"URL" group:"server" help:"Its NATS server, to publish to."`
	PID     int32    `name:"pid" group:"server" help:"Its process on this machine, to see what it uses. Memory per client means something only at its first load."`
	Against string   `enum:"none,nchan,unstuck" default:"none" group:"server" help:"Measure in turn with it: nchan (Debian: nginx-light, libnginx-mod-nchan), or unstuck: the same load without the stuck clients."`
	Runs    int      `placeholder:"N" group:"server" help:"Runs of each, interleaved; the medians are reported (default: 5 with --against, else 1)."`

	Pending int           `default:"4096" group:"limits" help:"Events on their way to the server without an acknowledgement; the publisher is late rather than above it."`
	Grace   time.Duration `default:"10s" group:"limits" help:"Wait for events that are missing when all is published."`
	MaxLag  time.Duration `default:"20ms" group:"limits" help:"A run in which the load generator itself was later than this (99th percentile) is void, and made up for at most once."`

	Markdown bool   `group:"output" help:"Print the result as a Markdown table."`
	Plot     string `placeholder:"FILE" group:"output" help:"Draw latency over --rates into this SVG file."`

	loads []load
}

// load is one scenario and what it is run against.
type load struct {
	trial.Scenario
	env     []string
	against string
	runs    int
}

const description = `Measures Sluice on this machine: deliveries per second, server CPU per delivery, latency from the scheduled
time of publication, memory per client, reconnect storms; alone or in turn with Nchan. Everything runs on loopback.
Exits 0 when Sluice lost nothing, 1 when it did, 2 when the load generator was too late for the figures to mean anything.`

// parse reads the flags. done means that the help was printed.
func parse(args []string, stdout io.Writer) (cfg *config, done bool, err error) {
	if cfg, done, err = parseFlags(args, stdout); done || err != nil {
		return cfg, done, err
	}
	variants := []*config{cfg}
	if names := cfg.Preset; len(names) > 0 {
		variants = nil
		for _, p := range chosen(names) {
			// The last value of a flag wins, so the preset's come first.
			v, _, err := parseFlags(append(strings.Fields(p.flags), args...), stdout)
			if err != nil {
				return nil, false, fmt.Errorf("--preset %s: %w", p.name, err)
			}
			v.Preset = []string{p.name}
			variants = append(variants, v)
		}
	}
	for _, v := range variants {
		cfg.loads = append(cfg.loads, v.scenarios()...)
	}
	return cfg, false, cfg.check()
}

func parseFlags(args []string, stdout io.Writer) (cfg *config, done bool, err error) {
	cfg = &config{}
	parser, err := kong.New(cfg,
		kong.Name("bench"),
		kong.Description(description),
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { done = true }),
		kong.Vars{"presets": strings.Join(presetNames(), ",")})
	if err == nil {
		_, err = parser.Parse(args)
	}
	return cfg, done, err
}

// scenarios are the loads that one set of flags asks for: one per rate.
func (c *config) scenarios() (loads []load) {
	rates := c.Rates
	if len(rates) == 0 {
		rates = []float64{c.Rate}
	}
	name := strings.Join(c.Preset, "")
	for _, rate := range rates {
		s := trial.Scenario{
			Clients: c.Clients, Rate: rate, Payload: c.Payload, Warmup: c.Warmup, Duration: c.Duration,
			OwnTopics: c.Topics == "own", Stuck: c.Stuck, ConnectRate: c.ConnectRate,
			Pending: c.Pending, Grace: c.Grace, MaxLag: c.MaxLag,
		}
		if c.Storm {
			s.Storm = &trial.Storm{Behind: c.StormBehind, Within: c.StormWithin, Staying: c.StormStaying, Limit: c.StormLimit}
		}
		s.Name = strings.TrimSpace(fmt.Sprintf("%s %d × %g/s", name, s.Clients, s.Rate))
		l := load{Scenario: s, env: c.Env, against: c.Against, runs: c.Runs}
		if l.runs == 0 {
			l.runs = 1
			if l.against != "none" {
				l.runs = 5
			}
		}
		loads = append(loads, l)
	}
	return loads
}

const maxRuns = 100

// check reports everything that is wrong at once.
func (c *config) check() error {
	var errs []error
	fail := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for i := range c.loads {
		l := &c.loads[i]
		if err := l.Check(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
		}
		fail(l.runs < 1 || l.runs > maxRuns, "--runs %d: 1 to %d", l.runs, maxRuns)
		fail(l.Storm != nil && l.against == "nchan", "--storm: not --against nchan, whose cursors this program does not know")
		fail(l.against == "unstuck" && l.Stuck == 0, "--against unstuck: needs --stuck")
		for _, kv := range l.env {
			fail(strings.Index(kv, "=") < 1, "--env %q: want KEY=VALUE", kv)
		}
		fail(c.URL != "" && len(l.env) > 0, "--env and presets with settings (%s) need a Sluice that is started here: not with --url", strings.Join(l.env, " "))
	}
	fail((c.URL == "") != (c.NATS == ""), "--url and --nats: give both, for a Sluice that runs already, or none")
	fail(c.PID != 0 && c.URL == "", "--pid: only with --url")
	fail(c.Binary != "" && c.URL != "", "--binary: not with --url")
	fail(c.Plot != "" && len(c.Rates) < 2, "--plot: needs at least two --rates")
	if c.uses("nchan") {
		errs = append(errs, peer.CheckNchan())
	}
	return errors.Join(errs...)
}

// uses reports whether some load is run against a.
func (c *config) uses(a string) bool {
	for _, l := range c.loads {
		if l.against == a {
			return true
		}
	}
	return false
}

// connections is how many sockets the clients need at once.
func (c *config) connections() (n int) {
	for _, l := range c.loads {
		staying := cmp.Or(l.Storm, &trial.Storm{}).Staying
		n = max(n, l.Clients+l.Stuck+staying)
	}
	return n
}
