package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"sluice/infra/bench/peer"
	"sluice/infra/bench/report"
	"sluice/infra/bench/trial"
)

// bench is one run of the command.
type bench struct {
	cfg     *config
	out     io.Writer // of progress
	binary  string
	cleanup []func() error
	entries []entry
}

// entry is a load and its results, by target.
type entry struct {
	load    load
	results [][]trial.Result
}

// target is one of the servers that a load is run against in turn. The first
// decides the exit status.
type target struct {
	name     string
	scenario trial.Scenario
	start    func(context.Context) (*peer.Server, error)
}

// prepare builds Sluice where it is needed.
func (b *bench) prepare(ctx context.Context) error {
	b.binary = b.cfg.Binary
	if b.cfg.URL != "" || b.binary != "" {
		return nil
	}
	fmt.Fprintln(b.out, "building Sluice …")
	binary, remove, err := peer.Build(ctx)
	if err != nil {
		return err
	}
	b.binary, b.cleanup = binary, append(b.cleanup, remove)
	return nil
}

func (b *bench) close() {
	for _, f := range b.cleanup {
		if err := f(); err != nil {
			fmt.Fprintln(b.out, err)
		}
	}
}

func (b *bench) targets(l load) []target {
	sluice := func(ctx context.Context) (*peer.Server, error) {
		if b.cfg.URL != "" {
			return peer.AttachSluice(ctx, b.cfg.URL, b.cfg.NATS, b.cfg.PID)
		}
		return peer.StartSluice(ctx, b.binary, l.env)
	}
	list := []target{{"Sluice", l.Scenario, sluice}}
	switch l.against {
	case "nchan":
		list = append(list, target{"Nchan", l.Scenario, peer.StartNchan})
	case "unstuck":
		calm := l.Scenario
		calm.Stuck = 0
		list[0].name = fmt.Sprintf("Sluice, %d stuck", l.Stuck)
		list = append(list, target{"Sluice, none stuck", calm, sluice})
	}
	return list
}

// runAll runs every load against its targets in turn. A turn with a void run is
// run again, in at most twice as many turns as were asked for.
func (b *bench) runAll(ctx context.Context) error {
	for _, l := range b.cfg.loads {
		list := b.targets(l)
		e := entry{load: l, results: make([][]trial.Result, len(list))}
		for turn := 0; turn < 2*l.runs && e.counted() < l.runs; turn++ {
			for i, c := range list {
				result, err := c.run(ctx)
				if err != nil {
					return err
				}
				b.print(&result)
				e.results[i] = append(e.results[i], result)
			}
		}
		b.entries = append(b.entries, e)
	}
	return nil
}

func (b *bench) print(r *trial.Result) {
	fmt.Fprintln(b.out, report.Line(r))
	if void := r.Void(); void != nil {
		fmt.Fprintln(b.out, "      ", void)
	} else if failure := r.Failure(); failure != nil {
		fmt.Fprintf(b.out, "       FAILED: %v\n", failure)
	}
}

// counted is how many runs count, of the target with the fewest of them.
func (e *entry) counted() int {
	least := -1
	for _, results := range e.results {
		good := 0
		for i := range results {
			if results[i].Void() == nil {
				good++
			}
		}
		if least < 0 || good < least {
			least = good
		}
	}
	return least
}

// run is one trial with a server of its own.
func (c *target) run(ctx context.Context) (result trial.Result, err error) {
	server, err := c.start(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	server.Name = c.name
	return trial.Run(ctx, server, c.scenario)
}

// rows are the medians, load by load.
func (b *bench) rows() (rows []report.Row) {
	for _, e := range b.entries {
		for _, results := range e.results {
			row := report.Summarize(results)
			row.Scenario = e.load.Name
			rows = append(rows, row)
		}
	}
	return rows
}

// report prints what was asked for.
func (b *bench) report(w io.Writer) error {
	rows := b.rows()
	var err error
	if b.cfg.Markdown {
		err = report.Markdown(w, rows)
	} else {
		err = report.Text(w, rows)
	}
	if err != nil || b.cfg.Plot == "" {
		return err
	}
	f, err := os.Create(b.cfg.Plot)
	if err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	defer f.Close()
	if err := report.SVG(f, rows); err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	return f.Close()
}

// outcome is an error when Sluice failed, or when no run says whether it did.
// Failures of another server are only reported.
func (b *bench) outcome() error {
	var failed, void []error
	for _, e := range b.entries {
		counts := 0
		for i := range e.results[0] {
			r := &e.results[0][i]
			if r.Void() != nil {
				continue
			}
			counts++
			if err := r.Failure(); err != nil {
				failed = append(failed, fmt.Errorf("%s, run %d: %w", e.load.Name, i+1, err))
			}
		}
		if counts == 0 {
			void = append(void, fmt.Errorf("%s: %w", e.load.Name, errVoid))
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return errors.Join(void...)
}
