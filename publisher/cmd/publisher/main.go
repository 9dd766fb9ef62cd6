// Command publisher is a job that publishes events to the log and ends: from
// a scheduler, a pipe, or by hand. It exits 0 only when every event was
// acknowledged, prints one JSON line with the account on standard output and
// logs to standard error. SIGINT, SIGTERM and SIGHUP stop the reading; what was
// read is still published. A second SIGINT or SIGTERM ends it at once.
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

	"sluice/functions/settings"
	"sluice/publisher"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, func() {
		signal.Ignore(syscall.SIGHUP) // a terminal that goes away may send it twice
		stop()                        // any other second signal ends the process at once
	})
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command and returns its exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, done, err := settings.ParsePublisher(settings.Source{Args: args, Getenv: getenv, Stdout: stdout})
	switch {
	case done:
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "publisher: %v\nRun publisher --help for the settings.\n", err)
		return 1
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.Publish.LogLevel}))
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
func publish(ctx context.Context, cfg *settings.Publisher, stdin io.Reader, logger *slog.Logger) (publisher.Summary, error) {
	conn, err := connect(ctx, cfg, logger)
	if err != nil {
		return publisher.Summary{}, err
	}
	defer conn.Close()
	p, err := publisher.New(ctx, options(cfg, conn, logger))
	if err != nil {
		return publisher.Summary{}, err
	}
	defer p.Close()
	return publisher.Run(ctx, p, newSource(ctx, cfg, stdin))
}
