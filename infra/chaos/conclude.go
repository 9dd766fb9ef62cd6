package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/infra/chaos/oracle"
	"sluice/infra/chaos/report"
)

// lines is how many violations of one sin are told one by one.
const lines = 20

// conclude tells what was found. Its error is that something was, or that the
// run itself failed.
func (c *chaos) conclude(r *oracle.Record, v *oracle.Verdict, left []oracle.Violation, failed error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.steps { // a fault that did not happen shows nothing
		if s.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.Name, s.Err))
		}
	}
	all := slices.Concat(v.Violations, c.silence, left)
	slices.SortStableFunc(all, func(a, b oracle.Violation) int { return int(a.At - b.At) })
	c.out.line("")
	report.Table(c.out.w, c.steps, all)
	c.out.line("")
	var told oracle.Counts
	for _, one := range all {
		if told[one.Sin]++; told[one.Sin] <= lines {
			c.out.line("%s", report.Violation(one, r, c.steps))
		}
	}
	for sin, n := range told {
		if n > lines {
			c.out.line("and %d more violations: %s", n-lines, oracle.Sin(sin))
		}
	}
	died, conns := 0, 0
	for i, one := range c.clients {
		died += one.Died()
		conns += len(r.Traces[i].Conns)
	}
	c.out.line("gaps told: %s", gaps(r))
	done, killed := c.jobs.Done()
	c.out.line("%d events acknowledged, %d deliveries followed over %d connections; %d connections ended at a status; %d jobs done, %d of their runs killed",
		len(r.Acks), v.Events, conns, died, done, killed)
	if v.Unresolved > 0 {
		c.out.line("%d acknowledgements are of a stream that was being recreated, and nobody knows of which: nothing was asked of them", v.Unresolved)
	}
	if n := len(v.Conflicts); n > 0 {
		c.out.line("NATS itself lost %d events that it had acknowledged, the first is %s: nothing was asked of them", n, v.Conflicts[0])
	}
	counts := oracle.Count(all)
	c.out.line("%s", counts)
	if counts.Total() > 0 || failed != nil || c.cfg.Keep {
		c.keep(r)
	}
	switch {
	case failed != nil:
		return fmt.Errorf("the run failed: %w", failed)
	case counts.Total() > 0:
		return errFound
	}
	return nil
}

// gaps are how many gaps were told, by their reason.
func gaps(r *oracle.Record) string {
	told := map[string]int{}
	for i := range r.Traces {
		for j := range r.Traces[i].Steps {
			if s := &r.Traces[i].Steps[j]; s.Kind == oracle.Gap {
				told[s.Gap.Reason]++
			}
		}
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(told)) {
		parts = append(parts, fmt.Sprintf("%d %s", told[reason], reason))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
