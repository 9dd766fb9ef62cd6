package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/infra/chaos/plan"
	"sluice/infra/chaos/report"
	"sluice/publisher/event"
)

const (
	// warmup is how long everything works before the first fault.
	warmup = 3 * time.Second
	// calm is how long everything works between two steps.
	calm = 2 * time.Second
	// settleFor is how long clients have to get everything at the end.
	settleFor = 2 * time.Minute
	poll      = 20 * time.Millisecond
)

// run is the run itself. The end of ctx ends its faults.
func (c *chaos) run(ctx context.Context) error {
	var all, publishing sync.WaitGroup
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer all.Wait()
	defer end()
	publish, quiet := context.WithCancel(life)
	defer publishing.Wait()
	defer quiet()
	var errs [2]error

	all.Go(func() { c.stream.Watch(life) })
	publishing.Go(func() { errs[0] = c.load.Run(publish, writers, c.cfg.Seed) })
	publishing.Go(func() { errs[1] = c.jobs.Run(publish, c.cfg.Seed) })
	reading, leave := context.WithCancel(life)
	defer leave()
	var readers sync.WaitGroup
	for _, one := range c.clients {
		readers.Go(func() { one.Run(reading) })
	}
	defer readers.Wait()
	defer leave()
	watching, stopWatch := context.WithCancel(life)
	defer stopWatch()
	all.Go(func() { c.watch(watching) })

	c.out.line("%d clients, %g events/s, seed %d, %s of faults; Ctrl+C ends them", c.cfg.Clients, c.cfg.Rate, c.cfg.Seed, c.cfg.Duration)
	sleep(ctx, warmup)
	c.play(ctx)
	stopWatch()
	quiet()
	publishing.Wait()
	settled := c.settle(life)
	record := c.book.Record(settled)
	leave()
	readers.Wait()
	left := c.leftOver(life)
	verdict := oracle.Judge(record, oracle.Limits{Slack: c.cfg.Slack})
	c.excuse(life, &verdict)
	return c.conclude(record, &verdict, left, errors.Join(errs[:]...))
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// play has the faults happen.
func (c *chaos) play(ctx context.Context) {
	p := plan.Draw(c.cfg.Seed, c.cfg.chosen, c.cfg.Mixed)
	if c.cfg.Each {
		p = plan.Each(c.cfg.chosen)
	}
	until := time.Now().Add(c.cfg.Duration)
	for n := uint64(0); ctx.Err() == nil; n++ {
		step, ok := p.Next(time.Until(until))
		if !ok {
			return
		}
		c.step(ctx, step, rand.New(rand.NewPCG(c.cfg.Seed, 10_000+n)))
		sleep(ctx, calm)
	}
}

// step has one step happen and waits until all have recovered.
func (c *chaos) step(ctx context.Context, s plan.Step, r *rand.Rand) {
	c.mu.Lock()
	c.steps = append(c.steps, report.Step{Name: s.Name(), Began: c.book.Now()})
	mine := &c.steps[len(c.steps)-1]
	c.mu.Unlock()
	whats, errs := make([]string, len(s.Faults)), make([]error, len(s.Faults))
	var wg sync.WaitGroup
	stage := c.stage()
	for i, f := range s.Faults {
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		wg.Go(func() { whats[i], errs[i] = f.Run(ctx, stage, own) })
	}
	wg.Wait()
	over := c.book.Now()
	recovered, quiet := c.recover(ctx, over)
	if ctx.Err() != nil {
		whats, errs = append(whats, "interrupted"), nil // what it could not do does not matter
	}
	c.mu.Lock()
	mine.What, mine.Err = strings.Join(compact(whats), ", "), errors.Join(errs...)
	mine.Over, mine.Recovered, mine.Quiet = over, recovered, quiet
	line := mine.Line()
	c.mu.Unlock()
	c.out.line("%s", line)
}

// compact is without the empty ones.
func compact(all []string) (some []string) {
	for _, s := range all {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

// recover waits until the log acknowledges again after a step, and then until
// every client whose topics have many events has come to that event. It returns
// both times.
func (c *chaos) recover(ctx context.Context, over oracle.Time) (recovered, quiet time.Duration) {
	until := time.Now().Add(c.cfg.Recover)
	var first oracle.Ack
	for ; ; sleep(ctx, poll) {
		var ok bool
		if first, ok = c.book.AckedAfter(over); ok {
			break
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return -1, c.book.Now() - over
		}
	}
	for until = time.Now().Add(c.cfg.Recover); ; sleep(ctx, poll) {
		if c.allAt(event.ID{Epoch: c.book.Epoch(), Seq: first.Seq}) {
			return c.book.Now() - first.At, first.At - over
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return -1, first.At - over
		}
	}
}

// allAt reports whether every client that is not slow, and has much to get, has
// come to a position.
func (c *chaos) allAt(id event.ID) bool {
	for _, one := range c.clients {
		if s := one.State(); !one.Kind.Slow && s.Busy && (s.Pos.Epoch != id.Epoch || s.Pos.Seq < id.Seq) {
			return false
		}
	}
	return true
}

// settle gives every client the time to come to the end of the log.
func (c *chaos) settle(ctx context.Context) bool {
	c.out.line("%-8s the faults are over; waiting for all clients", fmt.Sprintf("+%.1fs", c.book.Now().Seconds()))
	for _, one := range c.clients {
		one.Hurry()
	}
	sleep(ctx, 3*time.Second) // until the log has been looked at again
	for until := time.Now().Add(settleFor); time.Now().Before(until); sleep(ctx, poll) {
		last := c.book.Last()
		done := true
		for _, one := range c.clients {
			s := one.State()
			done = done && s.Pos.Epoch == last.Epoch && s.Pos.Seq >= last.Last
		}
		if done {
			break
		}
	}
	return ctx.Err() == nil
}

// excuse takes out what the log itself has lost: an event that it acknowledged
// and does not hold, though it holds older and newer ones.
func (c *chaos) excuse(ctx context.Context, v *oracle.Verdict) {
	var ours []oracle.Violation
	for _, one := range v.Violations {
		if one.Sin == oracle.Lost && one.First.Epoch == c.book.Epoch() && one.First.Seq >= c.book.Last().First {
			data, ok := c.stream.Holds(ctx, one.First)
			if key, _, err := load.Parse(data); !ok || err != nil || key != one.Key {
				v.Conflicts = append(v.Conflicts, one.First)
				continue
			}
		}
		ours = append(ours, one)
	}
	v.Violations = ours
}
