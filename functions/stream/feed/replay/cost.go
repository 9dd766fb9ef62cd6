package replay

import (
	"context"
	"errors"
	"time"
)

const (
	// fewSubjects is how many subjects of a consumer cost little. NATS counts what
	// is pending when it makes one, over all subjects of the log: with 32 filters
	// and 150,000 subjects that takes tens of milliseconds.
	fewSubjects = 4
	// maxCostly is how many costly consumers are made at once.
	maxCostly = 4
	// freeCreation is how long one may take without being paid for: so long NATS
	// may be away, or busy with others.
	freeCreation = 50 * time.Millisecond
)

// makesCostly reports whether the next step makes a consumer of many subjects, or
// of topics that overlap. Few are made at a time, and what takes long is paid for.
func (r *Replay) makesCostly() bool {
	if len(r.subjects) <= fewSubjects && len(r.subjects) == len(r.topics.Filters()) {
		return false
	}
	return r.consumer == nil || r.drained
}

// inVain is the part of a fetch that was in vain: where topics overlap the
// consumer delivers more than them (topics.Set.Subjects), at worst the whole log.
// That there is nothing costs little: NATS finds it in its index.
func inVain(took time.Duration, delivered, frames int) time.Duration {
	if delivered == 0 {
		return 0
	}
	return took * time.Duration(max(0, delivered-frames)) / time.Duration(delivered)
}

// slot waits for the end of its rest and for a place among the replays, for
// warmEvery at most; if ok Next gives it back, and the right to make a costly
// consumer.
func (r *Replay) slot(ctx context.Context, costly bool) (ok bool, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, warmEvery, errWarm)
	defer cancel()
	rest := r.debt.Until
	if costly {
		select {
		case <-ctx.Done():
			return false, notWarm(ctx)
		case r.costly <- struct{}{}:
		}
		defer func() {
			if !ok {
				<-r.costly
			}
		}()
		rest = r.Turns.Owe(0).Until // when all that is owed by others is paid, too
	}
	if wait(ctx, rest.Sub(began)); ctx.Err() != nil {
		return false, notWarm(ctx)
	}
	select {
	case <-ctx.Done():
		return false, notWarm(ctx)
	case r.slots <- struct{}{}:
		r.unpark()
		return true, nil
	}
}

// errWarm ends a wait so that the client can get a sign of life.
var errWarm = errors.New("it is time for a sign of life")

// notWarm is why ctx has ended; nil when that was errWarm.
func notWarm(ctx context.Context) error {
	if err := context.Cause(ctx); err != errWarm {
		return err
	}
	return nil
}
