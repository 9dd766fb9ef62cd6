package fault

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/infra/chaos/world"
)

const (
	// A killed process is away for some time between these.
	shortest, longest = time.Second, 4 * time.Second
	// A pause is longer than all that waits for a sign of life.
	pauseFor = 12 * time.Second
	// termPatience is how long an edge may take to end at SIGTERM.
	termPatience = 30 * time.Second
	rollPause    = 3 * time.Second
	fullFor      = 8 * time.Second
)

// processes are the faults of processes.
func processes() []Fault {
	return []Fault{
		{"publisher-kill", "a publisher's job is killed again and again (kill -9) and run anew with the same id", 5 * time.Second, publisherKill},
		{"edge-kill", "an edge is killed (kill -9) and started again", 5 * time.Second, edgeKill},
		{"edges-kill", "all edges are killed at once", 5 * time.Second, edgesKill},
		{"edges-roll", "all edges are stopped (SIGTERM) and started again, one after the other", 15 * time.Second, edgesRoll},
		{"edge-pause", "an edge is stopped (SIGSTOP) and goes on", pauseFor, edgePause},
		{"node-kill", "a NATS node that does not lead the stream is killed and started again", 5 * time.Second, nodeKill},
		{"leader-kill", "the NATS node that leads the stream is killed and started again", 5 * time.Second, leaderKill},
		{"nodes-kill", "all NATS nodes are killed at once and started again", 8 * time.Second, nodesKill},
		{"nodes-roll", "all NATS nodes are killed and started again, one after the other", 15 * time.Second, nodesRoll},
		{"node-pause", "a NATS node that does not lead the stream is stopped (SIGSTOP) and goes on", pauseFor, nodePause},
		{"leader-pause", "the NATS node that leads the stream is stopped (SIGSTOP) and goes on", pauseFor, leaderPause},
		{"disk-full", "the disk of the node that leads the stream is full; when it is not any more, the node is started again", 10 * time.Second, diskFull},
		{"stepdown", "the stream's leader steps down every two seconds", 12 * time.Second, stepDown},
	}
}

// bounce kills a process and starts it again after a while.
func bounce(ctx context.Context, p *world.Process, away time.Duration) error {
	defer p.Claim()()
	p.Kill()
	wait(ctx, away)
	return p.Launch()
}

// roll stops an edge in good order and starts it again.
func roll(ctx context.Context, p *world.Process) error {
	defer p.Claim()()
	err := p.Terminate(termPatience)
	return errors.Join(err, p.Start(context.WithoutCancel(ctx)))
}

// pause stops a process for a while.
func pause(ctx context.Context, p *world.Process) error {
	defer p.Claim()()
	if err := p.Pause(); err != nil {
		return err
	}
	wait(ctx, pauseFor)
	return p.Resume()
}

// restartAll kills all and starts all again.
func restartAll(ctx context.Context, all []*world.Process, away time.Duration) error {
	for _, p := range all {
		defer p.Claim()()
		p.Kill()
	}
	wait(ctx, away)
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Launch())
	}
	return errors.Join(errs...)
}

func edgesOf(s *Stage) (all []*world.Process) {
	for _, e := range s.World.Edges {
		all = append(all, e.Process)
	}
	return all
}

func nodesOf(s *Stage) (all []*world.Process) {
	for _, n := range s.World.Nodes {
		all = append(all, n.Process)
	}
	return all
}

func publisherKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	for range 5 {
		s.Jobs.Kill()
		wait(ctx, between(r, 300*time.Millisecond, 1500*time.Millisecond))
	}
	return "", nil
}

func edgeKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	e := one(r, s.World.Edges)
	return e.Name, bounce(ctx, e.Process, between(r, shortest, longest))
}

func edgesKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", restartAll(ctx, edgesOf(s), between(r, shortest, longest))
}

func edgesRoll(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	for _, e := range s.World.Edges {
		if err := roll(ctx, e.Process); err != nil {
			return e.Name, err
		}
		wait(ctx, rollPause)
	}
	return "", nil
}

func edgePause(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	e := one(r, s.World.Edges)
	return e.Name, pause(ctx, e.Process)
}

func nodeKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	_, n := s.follower(ctx, r)
	return n.Name, bounce(ctx, n.Process, between(r, shortest, longest))
}

func leaderKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	_, n := s.leader(ctx, r)
	return n.Name, bounce(ctx, n.Process, between(r, shortest, longest))
}

func nodesKill(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", restartAll(ctx, nodesOf(s), between(r, shortest, longest))
}

func nodesRoll(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	order := slices.Clone(nodesOf(s))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, n := range order {
		if err := bounce(ctx, n, between(r, shortest, longest)); err != nil {
			return n.Name, err
		}
		wait(ctx, rollPause)
	}
	return "", nil
}

func nodePause(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	_, n := s.follower(ctx, r)
	return n.Name, pause(ctx, n.Process)
}

func leaderPause(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	_, n := s.leader(ctx, r)
	return n.Name, pause(ctx, n.Process)
}

// diskFull ends with a restart: a NATS server that could not write to a stream
// does not use it again before that.
func diskFull(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	_, n := s.leader(ctx, r)
	defer n.Claim()()
	if err := n.FillDisk(true); err != nil {
		return n.Name, err
	}
	wait(ctx, fullFor)
	err := n.FillDisk(false)
	n.Kill()
	return n.Name, errors.Join(err, n.Launch())
}

func stepDown(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	for range 6 {
		if err := s.Stream.StepDown(ctx); err != nil {
			return "", err
		}
		wait(ctx, 2*time.Second)
	}
	return "", nil
}
