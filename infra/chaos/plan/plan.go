// Package plan draws from a seed what happens in a run, and in which order: one
// fault alone, or some beside each other. It knows no clock but what it is told
// is left, so that the same seed and the same time give the same run.
package plan

import (
	"math/rand/v2"
	"strings"
	"time"

	"sluice/infra/chaos/fault"
)

// Step is some faults at the same time.
type Step struct{ Faults []fault.Fault }

// Name is the names of its faults.
func (s Step) Name() string {
	var names []string
	for _, f := range s.Faults {
		names = append(names, f.Name)
	}
	return strings.Join(names, " + ")
}

// Takes is about how long it takes.
func (s Step) Takes() (d time.Duration) {
	for _, f := range s.Faults {
		d = max(d, f.Takes)
	}
	return d
}

// most is how many faults there are beside each other.
const most = 3

// Plan draws steps. It is for one goroutine.
type Plan struct {
	rand   *rand.Rand
	faults []fault.Fault
	mixed  float64
	deck   []fault.Fault
	alone  int // steps in order that are left, below 0 for a drawn plan
}

// Draw draws from a seed; mixed is how many of the steps have several faults,
// from 0 to 1. Every fault comes once before one comes again.
func Draw(seed uint64, faults []fault.Fault, mixed float64) *Plan {
	return &Plan{rand: rand.New(rand.NewPCG(seed, 2)), faults: faults, mixed: mixed, alone: -1}
}

// Each is every fault alone, once, in their order.
func Each(faults []fault.Fault) *Plan { return &Plan{faults: faults, alone: len(faults)} }

// Next is the next step that fits into the time that is left; ok is false when
// there is none.
func (p *Plan) Next(left time.Duration) (s Step, ok bool) {
	if p.alone >= 0 {
		if p.alone == 0 {
			return s, false
		}
		f := p.faults[len(p.faults)-p.alone]
		p.alone--
		return Step{[]fault.Fault{f}}, true
	}
	n := 1
	if p.rand.Float64() < p.mixed {
		n = 2 + p.rand.IntN(most-1)
	}
	for range n {
		f, ok := p.take(left, s)
		if !ok {
			break
		}
		s.Faults = append(s.Faults, f)
	}
	return s, len(s.Faults) > 0
}

// take takes the next fault from the deck that fits and is not in s.
func (p *Plan) take(left time.Duration, s Step) (f fault.Fault, ok bool) {
	for range 2 {
		for i, f := range p.deck {
			if f.Takes <= left && !s.has(f) {
				p.deck = append(p.deck[:i:i], p.deck[i+1:]...)
				return f, true
			}
		}
		fresh := append([]fault.Fault(nil), p.faults...)
		p.rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
		p.deck = append(p.deck, fresh...)
	}
	return f, false
}

func (s Step) has(f fault.Fault) bool {
	for _, g := range s.Faults {
		if g.Name == f.Name {
			return true
		}
	}
	return false
}
