package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/world"
)

const (
	retainFor  = 15 * time.Second
	recreateIn = 500 * time.Millisecond
	// behind is a latency that makes the window wide between an edge's question
	// and what it does with the answer.
	behind = 400 * time.Millisecond
)

// logs are the faults of the stream.
func logs() []Fault {
	return []Fault{
		{"retention-age", "the stream keeps events for 2 s", retainFor, retain(shortAge)},
		{"retention-age-resumes", "the same, while clients are cut and resume where the log begins", 2 * retainFor, retainAndCut},
		{"retention-lengthened", "the stream has kept events for 2 s, or 20 of them, and keeps all from now on, while clients are away", retainFor, lengthen},
		{"retention-count", "the stream keeps 300 events", retainFor, retain(func(c *jetstream.StreamConfig) { c.MaxMsgs = 300 })},
		{"retention-bytes", "the stream keeps 128 KiB", retainFor, retain(func(c *jetstream.StreamConfig) { c.MaxBytes = 128 << 10 })},
		{"retention-overtakes", "the stream keeps 20 events, fewer than slow clients are behind", retainFor, retain(fewEvents)},
		{"purge", "all events are removed", time.Second, purge},
		{"purge-topic", "all events of one topic are removed", time.Second, purgeTopic},
		{"recreate", "the stream is deleted and created again", 3 * time.Second, recreate},
		{"recreate-late", "the same, while all that goes between edges and NATS is late", 6 * time.Second, recreateLate},
		{"consumers-removed", "all consumers of the stream are deleted", 6 * time.Second, removeConsumers},
		{"log-full", "the stream takes no more events", 8 * time.Second, full},
		{"stream-edited", "the stream's description, limits and duplicate window change", 6 * time.Second, edit},
	}
}

func shortAge(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = 2*time.Second, 2*time.Second }

func fewEvents(c *jetstream.StreamConfig) { c.MaxMsgs = 20 }

// awayFor is longer than the stream keeps events then.
const awayFor = 3 * time.Second

// shortened has the stream keep less while f runs. Each node removes what is too
// old by a clock of its own, and learns at a moment of its own that it is to keep
// more again. So that they do not stay at odds about what there is, the stream
// is then created anew.
func shortened(ctx context.Context, s *Stage, change func(*jetstream.StreamConfig), f func() error) error {
	restore, err := s.Stream.Edit(ctx, change)
	if err != nil {
		return err
	}
	err = f()
	return errors.Join(err, s.Stream.RecreateNow(context.WithoutCancel(ctx), 0), restore())
}

func retain(change func(*jetstream.StreamConfig)) func(context.Context, *Stage, *rand.Rand) (string, error) {
	return func(ctx context.Context, s *Stage, _ *rand.Rand) (string, error) {
		return "", shortened(ctx, s, change, func() error {
			wait(ctx, retainFor)
			return nil
		})
	}
}

// away holds the clients of an edge back for longer than the stream keeps
// events, and then has them come back.
func away(ctx context.Context, l *world.Link, then func() error) error {
	defer l.Hold(world.Both)()
	wait(ctx, awayFor)
	return errors.Join(then(), l.Cut())
}

// retainAndCut has clients come back when the log has removed what they want
// next, and goes on removing.
func retainAndCut(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", shortened(ctx, s, shortAge, func() error {
		for began := time.Now(); ctx.Err() == nil && time.Since(began) < 2*retainFor; {
			if err := away(ctx, one(r, fronts(s)), func() error { return nil }); err != nil {
				return err
			}
			wait(ctx, between(r, 500*time.Millisecond, 1500*time.Millisecond))
		}
		return nil
	})
}

// lengthen leaves the nodes at odds about what there is for as long as it is
// kept: a client that comes back is told from where the leader has events, and
// may read them from another node.
func lengthen(ctx context.Context, s *Stage, _ *rand.Rand) (string, error) {
	for _, change := range []func(*jetstream.StreamConfig){shortAge, fewEvents, shortAge} {
		restore, err := s.Stream.Edit(ctx, change)
		if err != nil {
			return "", err
		}
		// The second edge's clients read the log itself.
		if err := away(ctx, s.World.Edges[1].Front, restore); err != nil {
			return "", err
		}
		wait(ctx, 2*time.Second)
	}
	return "", s.Stream.Recreate(context.WithoutCancel(ctx), 0) // they agree again
}

func purge(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", s.Stream.Purge(ctx)
}

func purgeTopic(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	topic := r.IntN(len(load.Topics()))
	name := load.Topics()[topic]
	return name, s.Stream.PurgeTopic(ctx, topic, name)
}

func recreate(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", s.Stream.Recreate(ctx, between(r, 0, recreateIn))
}

func recreateLate(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	for _, l := range backends(s) {
		defer l.Latency(world.Both, behind, 0)()
	}
	// A cut has all edges ask for the stream at that moment.
	if err := cut(ctx, backends(s), r); err != nil {
		return "", err
	}
	err := s.Stream.Recreate(ctx, 0)
	wait(ctx, 2*time.Second)
	return "", err
}

func removeConsumers(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	removed := 0
	for range 3 {
		n, err := s.Stream.RemoveConsumers(ctx)
		if err != nil {
			return "", err
		}
		removed += n
		wait(ctx, 2*time.Second)
	}
	return fmt.Sprint(removed, " consumers"), nil
}

func full(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	restore, err := s.Stream.Edit(ctx, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, 1 })
	if err != nil {
		return "", err
	}
	wait(ctx, 8*time.Second)
	return "", restore()
}

func edit(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	var errs []error
	for _, change := range []func(*jetstream.StreamConfig){
		func(c *jetstream.StreamConfig) { c.Description = "edited" },
		func(c *jetstream.StreamConfig) { c.MaxMsgs, c.MaxAge = 10_000_000, 12*time.Hour },
		func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour },
	} {
		restore, err := s.Stream.Edit(ctx, change)
		if err == nil {
			wait(ctx, 2*time.Second)
			err = restore()
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
