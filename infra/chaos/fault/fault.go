package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/stream"
	"sluice/infra/chaos/world"
)

// Stage is what faults act on.
type Stage struct {
	World  *world.World
	Stream *stream.Stream
	Load   *load.Load
	Jobs   *load.Jobs
	// Crowd opens so many more streams at once, and closes them after a while.
	Crowd func(ctx context.Context, n int, stay time.Duration) error
}

// Fault is one thing that can go wrong.
type Fault struct {
	Name  string
	About string
	// Takes is about how long Run takes, without the recovery after it.
	Takes time.Duration
	// Run makes it happen and heals it. What it returns says what it did, such
	// as to which process.
	Run func(ctx context.Context, s *Stage, r *rand.Rand) (what string, err error)
}

// All are all faults.
func All() []Fault {
	return slices.Concat(processes(), networks(), logs(), crowds())
}

// Names are the names of all faults.
func Names() (names []string) {
	for _, f := range All() {
		names = append(names, f.Name)
	}
	return names
}

// Choose are the faults with names, all if there are none, without some.
func Choose(names, without []string) (chosen []Fault, err error) {
	for _, name := range slices.Concat(names, without) {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	for _, f := range All() {
		if (len(names) == 0 || slices.Contains(names, f.Name)) && !slices.Contains(without, f.Name) {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// between is a time between two.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1))
}

// one is any one of them.
func one[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// leader is the node that leads the stream; any one when nobody knows.
func (s *Stage) leader(ctx context.Context, r *rand.Rand) (int, *world.Node) {
	if i, ok := s.Stream.Leader(ctx); ok {
		return i, s.World.Nodes[i]
	}
	i := r.IntN(len(s.World.Nodes))
	return i, s.World.Nodes[i]
}

// follower is a node that does not lead the stream.
func (s *Stage) follower(ctx context.Context, r *rand.Rand) (int, *world.Node) {
	leader, _ := s.leader(ctx, r)
	i := (leader + 1 + r.IntN(len(s.World.Nodes)-1)) % len(s.World.Nodes)
	return i, s.World.Nodes[i]
}
