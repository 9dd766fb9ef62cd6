// Command publisher is a job that publishes events to the log and ends: from
// a scheduler, a pipe, or by hand. It exits 0 only when every event was
// acknowledged, prints one JSON line with the account on standard output and
// logs to standard error. SIGINT and SIGTERM stop the reading; what was read
// is still published.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"sluice/publisher"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command and returns its exit code. Environment variables
// are read through the flags' declarations.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, code, done := parse(args, stdout, stderr)
	if done {
		return code
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	sum, err := publish(ctx, cfg, stdin, log)
	if err != nil {
		log.Error("publisher failed", "err", err)
	}
	line, jsonErr := json.Marshal(sum)
	if jsonErr == nil {
		_, jsonErr = fmt.Fprintf(stdout, "%s\n", line)
	}
	if jsonErr != nil {
		log.Error("the summary was not written", "err", jsonErr)
	}
	if err != nil || jsonErr != nil {
		return 1
	}
	return 0
}

// publish connects and runs the chosen source to its end.
func publish(ctx context.Context, cfg *config, stdin io.Reader, log *slog.Logger) (publisher.Summary, error) {
	conn, err := connect(ctx, cfg, log)
	if err != nil {
		return publisher.Summary{}, err
	}
	defer conn.Close()
	p, err := publisher.New(ctx, cfg.options(conn, log))
	if err != nil {
		return publisher.Summary{}, err
	}
	defer p.Close()
	return publisher.Run(ctx, p, cfg.job.source(ctx, cfg, stdin))
}
