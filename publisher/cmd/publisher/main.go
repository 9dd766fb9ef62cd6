// Command publisher is a job that publishes events to the log and ends: from
// a scheduler, a pipe, or by hand. It exits 0 only when every event was
// acknowledged, prints one JSON line with the account on standard output and
// logs to standard error. SIGINT, SIGTERM and SIGHUP stop the reading; what was
// read is still published. A second SIGINT or SIGTERM ends it at once. It does not
// depend on who reads what it prints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"sluice/functions/logging"
	"sluice/functions/settings"
	"sluice/functions/signals"
	"sluice/publisher"
)

func main() {
	os.Exit(run(signals.Context(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command and returns its exit code.
func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, done, err := settings.ParsePublisher(settings.Source{Args: args, Getenv: getenv, Stdout: stdout})
	switch {
	case done:
		return 0
	case err != nil:
		_ = logging.Print(stderr, fmt.Sprintf("publisher: %v\nRun publisher --help for the settings.\n", err))
		return 1
	}
	log, flush := logging.New(stderr, cfg.Publish.LogLevel, logging.Text)
	defer flush()
	sum, err := publish(ctx, cfg, stdin, log)
	if err != nil {
		log.Error("publisher failed", "err", err)
	}
	said := say(stdout, sum)
	if said != nil {
		log.Error("the summary was not written", "err", said)
	}
	if err != nil || said != nil {
		return 1
	}
	return 0
}

// say prints the summary. That nobody reads it is no error: what was published is,
// and is in the record of the run.
func say(stdout io.Writer, sum publisher.Summary) error {
	line, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	err = logging.Print(stdout, string(line)+"\n")
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, logging.ErrStuck) {
		return nil
	}
	return err
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
