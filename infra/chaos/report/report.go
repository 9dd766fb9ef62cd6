// Package report tells people what a run did and found: a line for each step and
// for each violation, with what was around it, and a table at the end.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/infra/chaos/oracle"
)

// Step is one step of a run that has happened.
type Step struct {
	Name        string
	What        string // to which process it happened
	Began, Over oracle.Time
	// Recovered is how long it took until every client had events again, counted
	// from the log's first acknowledgement after the step; below 0 for not in
	// time.
	Recovered time.Duration
	// Quiet is how long the log acknowledged nothing after the step.
	Quiet time.Duration
	Err   error
}

const (
	// around is how long before a violation a fault is told that was over.
	around = 30 * time.Second
	// lastBlocks is how many of a client's blocks are told.
	lastBlocks = 6
)

func stamp(t oracle.Time) string { return fmt.Sprintf("+%.1fs", t.Seconds()) }

// Line is a step as one line.
func (s *Step) Line() string {
	line := fmt.Sprintf("%-8s %s", stamp(s.Began), s.Name)
	if s.What != "" {
		line += " (" + s.What + ")"
	}
	line += fmt.Sprintf(": %.1fs, ", (s.Over-s.Began).Seconds()) + s.recovery()
	if s.Err != nil {
		line += "; " + s.Err.Error()
	}
	return line
}

func (s *Step) recovery() string {
	if s.Recovered < 0 {
		return "not all clients had events again"
	}
	text := fmt.Sprintf("all clients had events %.1fs after the log", s.Recovered.Seconds())
	if s.Quiet > time.Second {
		text += fmt.Sprintf(" (which took %.1fs)", s.Quiet.Seconds())
	}
	return text
}

// Violation is a violation with its timeline, on one line.
func Violation(v oracle.Violation, r *oracle.Record, steps []Step) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", stamp(v.At), v.Sin)
	if v.Count > 1 {
		fmt.Fprintf(&b, " ×%d", v.Count)
	}
	if v.Client >= 0 {
		fmt.Fprintf(&b, ": %s", r.Traces[v.Client].Name)
	}
	if v.First.Epoch != 0 {
		fmt.Fprintf(&b, ": event %s", oracle.Short(v.First))
	}
	fmt.Fprintf(&b, ": %s", v.What)
	var faults []string
	for _, s := range steps {
		if s.Began <= v.At && (s.Over == 0 || s.Over >= v.At-around) {
			over := "now"
			if s.Over > 0 {
				over = stamp(s.Over)
			}
			faults = append(faults, strings.TrimSpace(fmt.Sprintf("%s %s", s.Name, s.What))+fmt.Sprintf(" %s to %s", stamp(s.Began), over))
		}
	}
	fmt.Fprintf(&b, " | faults: %s", cmpOr(strings.Join(faults, ", "), "none"))
	if v.Client >= 0 && v.Step >= 0 {
		b.WriteString(" | blocks: " + blocks(&r.Traces[v.Client], v.Step))
	}
	return b.String()
}

func cmpOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// blocks are the last blocks that a client got up to a step, and the connections
// that they came on.
func blocks(t *oracle.Trace, step int) string {
	var parts []string
	conn := int32(-1)
	for i := max(0, step-lastBlocks+1); i <= step && i < len(t.Steps); i++ {
		s := t.Steps[i]
		if s.Conn != conn {
			conn = s.Conn
			c := t.Conns[conn]
			parts = append(parts, fmt.Sprintf("[e%d since %s, cursor %s]", c.Edge+1, stamp(c.Opened), oracle.Short(c.Cursor)))
		}
		text := fmt.Sprintf("%s %s %s", stamp(s.At), s.Kind, oracle.Short(s.ID))
		if s.Gap != nil {
			text += " " + s.Gap.Reason
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// Table is the steps, each with the violations that began in it or after it and
// before the next.
func Table(w io.Writer, steps []Step, violations []oracle.Violation) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "at\tfault\tviolations\tlog again after\tevery client again after")
	for i, s := range steps {
		end := oracle.Time(1<<63 - 1)
		if i+1 < len(steps) {
			end = steps[i+1].Began
		}
		within := slices.DeleteFunc(slices.Clone(violations), func(v oracle.Violation) bool { return v.At < s.Began || v.At >= end })
		again := fmt.Sprintf("%.1f s", s.Recovered.Seconds())
		if s.Recovered < 0 {
			again = "not in time"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%.1f s\t%s\n", stamp(s.Began), strings.TrimSpace(s.Name+" "+s.What), sins(within), s.Quiet.Seconds(), again)
	}
	_ = tab.Flush()
}

// sins are the counts that are not 0.
func sins(vs []oracle.Violation) string {
	var parts []string
	for s, n := range oracle.Count(vs) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, oracle.Sin(s)))
		}
	}
	return cmpOr(strings.Join(parts, ", "), "0")
}
