package fanout

import "sync/atomic"

// Phase is where a subscription is in its life.
type Phase uint32

const (
	// Opening: admitted; its opening block is not written yet.
	Opening Phase = iota + 1
	// CatchingUp: it reads the log and then the ring, up to where its shard
	// was when it joined.
	CatchingUp
	// Live: it has everything; its shard writes to it.
	Live
	// Pending: it was caught up, and something waits that its socket has not
	// taken; the pending limits hold.
	Pending
	// Draining: its last block is being written.
	Draining
	// Ended: it is closed and counted.
	Ended

	phases = Ended + 1
)

func (p Phase) String() string {
	return [phases]string{"", "Opening", "CatchingUp", "Live", "Pending", "Draining", "Ended"}[p]
}

// signal is what moves a subscription from phase to phase.
type signal uint32

const (
	opened     signal = iota // the opening block is written
	caughtUp                 // it has come to where its shard was when it joined
	taken                    // all that waited is written
	waits                    // something waits for it that its shard could not write at once
	overtaken                // the ring has forgotten frames that it needs
	sentAway                 // it is to get its last block
	terminated               // it is over

	signals = terminated + 1
)

// transitions is every way through a subscription's life, and there is no
// other.
var transitions = [signals]map[Phase]Phase{
	opened:     {Opening: CatchingUp},
	caughtUp:   {CatchingUp: Pending},
	taken:      {Pending: Live},
	waits:      {Live: Pending},
	overtaken:  {Pending: CatchingUp, CatchingUp: CatchingUp},
	sentAway:   {Opening: Draining, CatchingUp: Draining, Live: Draining, Pending: Draining},
	terminated: {Opening: Ended, CatchingUp: Ended, Live: Ended, Pending: Ended, Draining: Ended},
}

// life is a subscription's phase. Only whoever serves the subscription moves
// it, under the subscription's lock, so that of two that would serve one sees
// that the other does; a shard looks at it without the lock.
type life struct{ phase atomic.Uint32 }

func (l *life) is(p Phase) bool { return Phase(l.phase.Load()) == p }

// on moves on. ok is false, and nothing has changed, when the signal means
// nothing in this phase.
func (l *life) on(s signal) (ok bool) {
	to, ok := transitions[s][Phase(l.phase.Load())]
	if ok {
		l.phase.Store(uint32(to))
	}
	return ok
}
