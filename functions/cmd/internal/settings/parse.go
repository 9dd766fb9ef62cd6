package settings

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/alecthomas/kong"
)

// command is Local or Edge.
type command interface {
	defaults() map[string]string
	validate(*checks)
}

// Source is where settings come from, and where help goes.
type Source struct {
	Args   []string
	Getenv func(name string) (value string, ok bool)
	Stdout io.Writer
}

// ParseLocal reads the settings of local. done means that the help was printed
// and there is nothing to run. The error is all that is wrong, one line each.
func ParseLocal(src Source) (cfg *Local, done bool, err error) {
	cfg = &Local{}
	_, done, err = parse(src, "local", "Sluice in one process: NATS with JetStream, the streams, the console and a demo producer.", cfg)
	return cfg, done, err
}

// ParseEdge is ParseLocal for edge. chosen is the command: serve or
// healthcheck.
func ParseEdge(src Source) (cfg *Edge, chosen string, done bool, err error) {
	cfg = &Edge{}
	chosen, done, err = parse(src, "edge", "Sluice's streaming edge: Server-Sent Events from a JetStream stream.", cfg)
	return cfg, chosen, done, err
}

func parse(src Source, name, description string, cfg command) (chosen string, done bool, err error) {
	env := &environment{lookup: src.Getenv}
	parser, err := newParser(name, description, cfg,
		kong.Writers(src.Stdout, src.Stdout), kong.Exit(func(int) { done = true }), kong.Resolvers(env))
	if err != nil {
		return "", false, err
	}
	ctx, err := parser.Parse(src.Args)
	if done {
		return "", true, nil
	}
	if err != nil { // of the arguments; kong has not come to the environment
		return "", false, errors.Join(append(env.check(parser), err)...)
	}
	all := checks(env.wrong)
	cfg.validate(&all)
	return ctx.Command(), false, errors.Join(all...)
}

func newParser(name, description string, cfg command, options ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(cfg, append(options,
		kong.Name(name),
		kong.Description(description+"\n\nA flag wins over its variable in the environment ($NAME), which wins over the default. Sizes are in bytes, durations look like 10s, 5m or 24h."),
		kong.Vars(cfg.defaults()),
		kong.ValueFormatter(helpOf),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: true}))...)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	for _, flag := range parser.Model.Flags {
		flag.Tag.Envs = nil // environment reads them; flag.Envs stays for the help
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

// environment gives kong the variables of the flags' env tags. kong itself
// would stop at the first one that cannot be read.
type environment struct {
	lookup func(string) (string, bool)
	wrong  []error
}

// check is everything in the environment that cannot be read.
func (e *environment) check(parser *kong.Kong) []error {
	e.wrong = nil
	for _, flag := range parser.Model.Flags {
		_, _ = e.Resolve(nil, nil, flag)
	}
	return e.wrong
}

// Validate is part of kong.Resolver.
func (*environment) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver.
func (e *environment) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		value, ok := e.lookup(name)
		if !ok {
			continue
		}
		token := kong.Token{Type: kong.FlagValueToken, Value: value}
		err := flag.Parse(kong.ScanFromTokens(token), reflect.New(flag.Target.Type()).Elem())
		if err == nil {
			return value, nil
		}
		e.wrong = append(e.wrong, fmt.Errorf("--%s (%s) %q: %w (%s)", flag.Name, name, value, errors.Unwrap(err), flag.Help))
	}
	return nil, nil
}
