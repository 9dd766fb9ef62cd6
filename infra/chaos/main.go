// Command chaos is the promise of Sluice as a command: NATS nodes, edges,
// publishers and clients, with proxies on every link, faults alone and mixed,
// and an oracle that says whether every client got every acknowledged event once
// and in order, or was told of a gap.
//
//	go run ./infra/chaos --duration 10m --seed 1    ten minutes of faults
//	go run ./infra/chaos --list                     which faults there are
//	go run ./infra/chaos --each                     each of them alone, once
//	go run ./infra/chaos --faults leader-kill,purge --mixed 0
//
// It exits 0 when nothing was found, 1 when something was or the run failed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"sluice/infra/chaos/world"
)

func main() {
	world.RunNodeIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole command.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	cfg, done, err := parse(args, stdout)
	if done || err != nil {
		return err
	}
	c, err := open(ctx, cfg, stdout)
	if err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx)
}
