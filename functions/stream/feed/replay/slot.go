package replay

import (
	"context"
	"time"

	"sluice/functions/stream/feed/turns"
)

// mostVain is for how much one step in vain counts: what takes longer has waited,
// for NATS in an election or for a busy machine.
const mostVain = 20 * time.Millisecond

// inVain is what of a step's work gave its client nothing: all of it where there
// was nothing, else the part that was delivered beside the topics. Where they
// overlap the consumer delivers more than them (topics.Set.Subjects), at worst the
// whole log.
func inVain(work time.Duration, delivered, frames int) time.Duration {
	switch {
	case frames > delivered || work <= 0: // gaps come beside what is delivered
		return 0
	case delivered > 0:
		work = work * time.Duration(delivered-frames) / time.Duration(delivered)
	case frames > 0:
		return 0
	}
	return min(work, mostVain)
}

// slot waits for the end of the replay's rest and for a slot, for warmEvery at most;
// if ok the replay has one until leave.
func (r *Replay) slot(ctx context.Context) (ok bool, err error) {
	if !r.rest.IsZero() {
		left := time.Until(r.rest)
		if _ = turns.Rest(ctx, min(left, warmEvery)); ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if left > warmEvery {
			return false, nil
		}
		r.rest = time.Time{}
		r.unpark()
		return true, nil
	}
	warm := time.NewTimer(warmEvery)
	defer warm.Stop()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case r.slots <- struct{}{}:
		r.unpark()
		return true, nil
	case <-warm.C:
		return false, nil
	}
}

// leave gives the slot back, unless the last step worked in vain: then the replay
// keeps it and rests, so that all such work together takes a bounded part of the
// processors (turns.Pause), however many clients come for it and go.
func (r *Replay) leave() {
	if r.vain <= 0 {
		<-r.slots
		return
	}
	r.Turns.Count(r.vain)
	r.rest = time.Now().Add(turns.Pause(r.vain) * time.Duration(r.Concurrency))
	r.vain = 0
}

// leaveBehind leaves the slot of a replay that rests to nobody, until the rest is
// over. Its end needs nothing to be waited for.
func (r *Replay) leaveBehind() {
	slots := r.slots
	time.AfterFunc(time.Until(r.rest), func() { <-slots })
	r.rest = time.Time{}
}
