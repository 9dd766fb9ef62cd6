package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "clients: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole command.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clients", flag.ContinueOnError)
	update := flags.Bool("update", false, "write the table of README.md")
	only := flags.String("only", "", "run only the clients whose name or adapter this regular expression matches; README.md is left alone")
	verbose := flags.Bool("v", false, "print every line that the clients print")
	if err := flags.Parse(args); err != nil {
		return err
	}
	begin := time.Now()
	h, err := prepare(ctx, out)
	if err != nil {
		return err
	}
	defer h.close()
	h.verbose = *verbose
	prepared := time.Now()
	clients, err := chosen(*only)
	if err != nil {
		return err
	}
	rows, err := h.observeAll(ctx, clients)
	if err != nil {
		return err
	}
	observed := time.Now()
	err = errors.Join(h.flaws(rows), h.follow(ctx, clients), h.cuts(ctx, clients))
	if *only != "" {
		err = errors.Join(err, h.print(rows))
	} else {
		err = errors.Join(err, h.readme(rows, *update))
	}
	fmt.Fprintf(out, "prepared in %.0f s, %d clients observed in %.0f s, real edges followed in %.0f s\n",
		prepared.Sub(begin).Seconds(), len(clients), observed.Sub(prepared).Seconds(), time.Since(observed).Seconds())
	return err
}

// chosen are the clients that only matches.
func chosen(only string) (clients []*client, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	for i := range roster {
		if c := &roster[i]; pattern.MatchString(c.Name) || pattern.MatchString(c.Adapter) {
			clients = append(clients, c)
		}
	}
	if len(clients) == 0 {
		return nil, fmt.Errorf("no client is called %s", only)
	}
	return clients, nil
}
