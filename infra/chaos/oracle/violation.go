package oracle

import (
	"fmt"
	"strings"

	"sluice/publisher/event"
)

// Sin is a way to break the promise.
type Sin int

// The sins, in the order in which they are counted.
const (
	Lost       Sin = iota // passed over in silence, or never came, and the log had it
	Duplicated            // came twice
	Reordered             // came after a later one, or the position went back
	SilentGap             // passed over in silence, and the log had removed it
	FalseGap              // told as missing, and the log still had it
	Silent                // an edge was ready and its client got nothing
	Content               // one id, two contents, or an event under an id that is not its own
	NotAsked              // an event of a topic that was not asked for
	LeftOver              // something remained when everybody had gone
	sins
)

var sinNames = [sins]string{"lost", "duplicated", "reordered", "silent gaps", "false gaps", "ready-but-silent", "wrong content", "not asked for", "left over"}

func (s Sin) String() string { return sinNames[s] }

// Sins are all of them, in order.
func Sins() (all []Sin) {
	for s := range sins {
		all = append(all, s)
	}
	return all
}

// Violation is one breach of the promise. Those of one client that follow one
// another are one, with a Count.
type Violation struct {
	Sin    Sin
	At     Time
	Client int // index of the trace, -1 for none
	Step   int // index of the step, or of the last one; -1 for none
	Count  int
	First  event.ID // of the events concerned
	Key    Key      // of that event, if the log acknowledged it
	What   string
}

// Counts is how many events each sin concerns.
type Counts [sins]int

// Count counts the violations.
func Count(vs []Violation) (c Counts) {
	for _, v := range vs {
		c[v.Sin] += v.Count
	}
	return c
}

// String is all counts in one line.
func (c Counts) String() string {
	var parts []string
	for s, n := range c {
		parts = append(parts, fmt.Sprintf("%d %s", n, Sin(s)))
	}
	return strings.Join(parts, ", ")
}

// Total is the sum of all.
func (c Counts) Total() (n int) {
	for _, one := range c {
		n += one
	}
	return n
}
