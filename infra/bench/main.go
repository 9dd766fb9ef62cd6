// Command bench measures Sluice on this machine, alone or beside Nchan: what a
// delivery costs the server, how late it is, what a client costs in memory,
// and how a reconnect storm goes.
//
//	go run ./infra/bench                            1,000 clients × 100 events/s
//	go run ./infra/bench --against nchan --runs 5   the same, in turn with Nchan
//	go run ./infra/bench --preset storm             10,000 clients reconnect at once
//	go run ./infra/bench --preset all --markdown    every preset, as a table
//
// It starts the servers itself, on free loopback ports with their files in a
// temporary directory, and ends them. It exits 0 when Sluice lost nothing, 1
// when it did or the run failed, 2 when the load generator was too late for
// the figures to mean anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
	switch {
	case errors.Is(err, errVoid):
		os.Exit(2)
	case err != nil:
		os.Exit(1)
	}
}

// errVoid is a measurement that says nothing.
var errVoid = errors.New("no run counts")

// gcPercent trades the generator's memory for its CPU time, of which the server
// is to have as much as possible.
const gcPercent = 400

// run is the whole command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, done, err := parse(args, stdout)
	if done || err != nil {
		return err
	}
	if err := raiseFiles(cfg.connections()); err != nil {
		return err
	}
	// The clients' and the publisher's threads are in system calls most of the
	// time, and are not to wait for each other's turn when they return.
	runtime.GOMAXPROCS(runtime.NumCPU() + 4)
	debug.SetGCPercent(gcPercent)
	b := &bench{cfg: cfg, out: stderr}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.runAll(ctx); err != nil {
		return err
	}
	if err := b.report(stdout); err != nil {
		return err
	}
	return b.outcome()
}
