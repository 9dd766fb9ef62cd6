// Command attack measures what clients that mean harm do to those that do not: how
// late live events are, whether one is lost, and whether memory comes back.
//
//	go run ./infra/attack                             attempts, the least that must hold
//	go run ./infra/attack --attack all --rounds 5     every attack
//
// It starts Sluice itself (functions/cmd/local, with tokens), on free loopback ports
// with its files in a temporary directory, and fills its log. Then rounds without
// and with the attack take turns, each --duration long. The attackers are a process
// of their own with a lower priority, so that on a machine with few processors it is
// the server's work that is measured and not theirs; what is theirs all the same is
// what the attack none shows, which only uses the processors.
//
// It exits 1 when a watcher has lost an event, or has it later than --max-ratio
// allows.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"sluice/infra/bench/peer"
)

// config is the command's flags.
type config struct {
	Attack   []string      `default:"attempts" help:"What to do, comma separated: ${attacks}; all for every one."`
	Rounds   int           `default:"3" help:"Rounds without and with the attack, in turn."`
	Duration time.Duration `default:"10s" help:"Length of one round."`
	Events   int           `default:"150000" help:"Events in the log beforehand."`
	Watchers int           `default:"5" help:"Live clients, whose events are timed."`
	Rate     int           `default:"100" help:"Events a second for them."`
	MaxRatio float64       `default:"0" help:"The most that the median p99 may be of that without the attack; 0 judges nothing."`
	Settle   time.Duration `default:"2m" help:"How long the server may take to give memory back."`
	Binary   string        `placeholder:"FILE" help:"Start this build of functions/cmd/local in place of building it."`
	Env      []string      `short:"e" sep:"none" placeholder:"KEY=VALUE" help:"A setting for the Sluice that is started. Repeatable."`

	As   string `hidden:"" help:"Be the attackers of that attack, on --path of --addr."`
	Addr string `hidden:""`
	Path string `hidden:""`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "attack: %v\n", err)
		os.Exit(1)
	}
}

// secret signs the tokens of the watchers, and of attackers who have one.
const secret = "a-secret-for-this-measurement-only-0123456789"

// run is the whole command.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	var cfg config
	done := false
	parser, err := kong.New(&cfg, kong.Name("attack"), kong.Description("Measures what attackers do to live clients."),
		kong.Writers(stdout, stdout), kong.Exit(func(int) { done = true }), kong.Vars{"attacks": strings.Join(names(), ", ")})
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); done || err != nil {
		return err
	}
	if cfg.As != "" {
		return attackers(ctx, &cfg, stdout)
	}
	chosen := cfg.Attack
	if slices.Contains(chosen, "all") {
		chosen = names()
	}
	for _, name := range chosen {
		if _, ok := attacks[name]; !ok {
			return fmt.Errorf("--attack %s: want one of %s", name, strings.Join(names(), ", "))
		}
	}
	binary := cfg.Binary
	if binary == "" {
		built, remove, err := peer.Build(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = remove() }()
		binary = built
	}
	server, err := peer.StartSluice(ctx, binary, append([]string{"AUTH=jwt", "JWT_SECRET=" + secret}, cfg.Env...))
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	if err := fill(ctx, server, cfg.Events, stdout); err != nil {
		return err
	}
	var failed []error
	for _, name := range chosen {
		failed = append(failed, measure(ctx, &cfg, name, server, stdout))
	}
	return errors.Join(failed...)
}

func names() (all []string) {
	for name := range attacks {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
