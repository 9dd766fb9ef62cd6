package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/infra/chaos/world"
)

const (
	// A short cut ends before anybody has given up; a long one is beyond every
	// timeout on the way.
	shortCut, longCut = 5 * time.Second, 60 * time.Second
	holeFor           = 20 * time.Second
	slowFor           = 10 * time.Second
	backboneLatency   = 150 * time.Millisecond
	clientLatency     = 300 * time.Millisecond
	resetRounds       = 4
)

// networks are the faults of links.
func networks() []Fault {
	return []Fault{
		{"partition-leader-5s", "the node that leads the stream is cut off from the others for 5 s", shortCut, partition(true, shortCut)},
		{"partition-leader-60s", "the node that leads the stream is cut off from the others for 60 s", longCut, partition(true, longCut)},
		{"partition-beside-60s", "the same happens to a node that also has the consumer of an edge which is connected to it", longCut + besideTries*besidePause, partitionBeside},
		{"partition-minority-5s", "a node that does not lead is cut off from the others for 5 s", shortCut, partition(false, shortCut)},
		{"partition-minority-60s", "a node that does not lead is cut off from the others for 60 s", longCut, partition(false, longCut)},
		{"hole-edge-nats", "all that goes between an edge and NATS is lost", holeFor, hole(world.Both)},
		{"hole-edge-to-nats", "all that an edge sends to NATS is lost", holeFor, hole(world.Up)},
		{"hole-nats-to-edge", "all that NATS sends to an edge is lost", holeFor, hole(world.Down)},
		{"hole-clients", "all that goes between an edge and its clients is lost", holeFor, holeClients},
		{"latency-clients", "all that goes between edges and clients is late", slowFor, latencyClients},
		{"latency-nats", "all that goes between edges and NATS is late", slowFor, latencyNATS},
		{"latency-routes", "all that goes between NATS nodes is late", slowFor, latencyRoutes},
		{"reset-clients", "connections of clients end in the middle of a chunk, and at their beginning", 6 * time.Second, resetClients},
		{"reset-nats", "the connections between edges and NATS are cut, again and again", 6 * time.Second, resetNATS},
		{"reset-routes", "the connections between NATS nodes are cut, again and again", 6 * time.Second, resetRoutes},
	}
}

func partition(leads bool, d time.Duration) func(context.Context, *Stage, *rand.Rand) (string, error) {
	return func(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
		find := s.follower
		if leads {
			find = s.leader
		}
		i, n := find(ctx, r)
		defer s.World.Isolate(i)()
		wait(ctx, d)
		return n.Name, nil
	}
}

// disturb does something to each link until it is over.
func disturb(ctx context.Context, links []*world.Link, d time.Duration, f func(*world.Link) (heal func())) {
	for _, l := range links {
		defer f(l)()
	}
	wait(ctx, d)
}

func hole(d world.Direction) func(context.Context, *Stage, *rand.Rand) (string, error) {
	return func(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
		e := one(r, s.World.Edges)
		disturb(ctx, e.Backend, holeFor, func(l *world.Link) func() { return l.Hold(d) })
		return e.Name, nil
	}
}

func holeClients(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	e := one(r, s.World.Edges)
	disturb(ctx, []*world.Link{e.Front}, holeFor, func(l *world.Link) func() { return l.Hold(world.Both) })
	return e.Name, nil
}

func fronts(s *Stage) (links []*world.Link) {
	for _, e := range s.World.Edges {
		links = append(links, e.Front)
	}
	return links
}

func backends(s *Stage) (links []*world.Link) {
	for _, e := range s.World.Edges {
		links = append(links, e.Backend...)
	}
	return links
}

func routes(s *Stage) (links []*world.Link) {
	for i, n := range s.World.Nodes {
		for j, between := range n.Routes {
			if i < j {
				links = append(links, between...)
			}
		}
	}
	return links
}

func late(d, jitter time.Duration) func(*world.Link) func() {
	return func(l *world.Link) func() { return l.Latency(world.Both, d, jitter) }
}

func latencyClients(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	disturb(ctx, fronts(s), slowFor, late(clientLatency, clientLatency/2))
	return "", nil
}

func latencyNATS(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	disturb(ctx, backends(s), slowFor, late(backboneLatency, backboneLatency/2))
	return "", nil
}

func latencyRoutes(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	disturb(ctx, routes(s), slowFor, late(backboneLatency, backboneLatency/2))
	return "", nil
}

// resetClients ends connections after some bytes, each round after others, and
// then resets those that are made.
func resetClients(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	for range resetRounds {
		bytes := 1 + r.IntN(4000)
		disturb(ctx, fronts(s), time.Second, func(l *world.Link) func() { return l.Limit(bytes) })
	}
	for _, l := range fronts(s) {
		heal, err := l.Reset(100 * time.Millisecond)
		if err != nil {
			return "", err
		}
		defer heal()
	}
	wait(ctx, 2*time.Second)
	return "", nil
}

func resetNATS(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", cut(ctx, backends(s), r)
}

func resetRoutes(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", cut(ctx, routes(s), r)
}

// cut closes connections again and again.
func cut(ctx context.Context, links []*world.Link, r *rand.Rand) error {
	for range resetRounds {
		for _, l := range links {
			if err := l.Cut(); err != nil {
				return fmt.Errorf("cut %s: %w", l.Name, err)
			}
		}
		wait(ctx, between(r, 500*time.Millisecond, 2*time.Second))
	}
	return nil
}
