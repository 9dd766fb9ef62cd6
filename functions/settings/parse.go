package settings

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// command is the configuration of a command.
type command interface {
	// vars are what the tags differ in between the commands.
	vars() kong.Vars
	// validate checks the settings of the chosen command.
	validate(c *checks, chosen string)
}

// Source is where settings come from, and where help goes.
type Source struct {
	Args   []string
	Getenv func(name string) (value string, ok bool)
	Stdout io.Writer
}

// What the commands are, for their help.
const (
	aboutEdge      = "Sluice's streaming edge: Server-Sent Events from a JetStream stream."
	aboutLocal     = "Sluice in one process: NATS with JetStream, the streams, the console and a demo producer."
	aboutPublisher = `Publishes events to a Sluice log, waits until each is acknowledged, prints one line of JSON
{"published":…,"duplicates":…,"failed":…,"first_id":…,"last_id":…} and exits 0 only when nothing failed.`
)

// ParseLocal reads the settings of local. done means that the help was printed
// and there is nothing to run. The error is all that is wrong, one line each.
func ParseLocal(src Source) (cfg *Local, done bool, err error) {
	cfg = &Local{}
	_, done, err = parse(src, "local", aboutLocal, cfg)
	return cfg, done, err
}

// ParseEdge is ParseLocal for edge. chosen is the command: serve or
// healthcheck.
func ParseEdge(src Source) (cfg *Edge, chosen string, done bool, err error) {
	cfg = &Edge{}
	chosen, done, err = parse(src, "edge", aboutEdge, cfg)
	return cfg, chosen, done, err
}

// ParsePublisher is ParseLocal for publisher.
func ParsePublisher(src Source) (cfg *Publisher, done bool, err error) {
	cfg = &Publisher{}
	_, done, err = parse(src, "publisher", aboutPublisher, cfg)
	return cfg, done, err
}

func parse(src Source, name, about string, cfg command) (chosen string, done bool, err error) {
	r := &reader{getenv: src.Getenv, flags: map[string]string{}}
	parser, err := newParser(name, about, cfg,
		kong.Writers(src.Stdout, src.Stdout), kong.Exit(func(int) { done = true }), kong.Resolvers(r))
	if err != nil {
		return "", false, err
	}
	r.watch(parser.Model.Node)
	ctx, err := parser.Parse(src.Args)
	if done {
		return "", true, nil
	}
	if err != nil { // of the arguments; kong may not have come to the environment
		r.readEnvironment(err)
		return "", false, errors.Join(append(r.wrong, err)...)
	}
	all := checks{getenv: src.Getenv, flags: r.flags, wrong: r.wrong}
	cfg.validate(&all, ctx.Command())
	return ctx.Command(), false, errors.Join(all.wrong...)
}

func newParser(name, about string, cfg command, options ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(cfg, append(options,
		kong.Name(name),
		kong.Description(about+"\n\nA flag wins over its variable in the environment ($NAME), which wins over the default. A blank variable counts as unset. Sizes are in bytes, durations look like 10s, 5m or 24h."),
		vars(cfg.vars()),
		kong.ValueFormatter(helpOf),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: true}))...)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return parser, nil
}

// helpOf is a flag's line in the help.
func helpOf(v *kong.Value) string {
	if v.Flag == nil || len(v.Flag.Envs) == 0 {
		return v.Help
	}
	return fmt.Sprintf("%s ($%s)", v.Help, v.Flag.Envs[0])
}
