package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoQuorum is what a log gives in place of a state that does not come from
// the leader of most replicas: a server that is cut off goes on answering with
// what it knew.
var ErrNoQuorum = errors.New("the NATS server that answers has no quorum for the log")

// contactWithin is how recently a leader must have heard from a follower for it
// to count. A leader of nats-server asks its followers at least every second
// (2 s when the ticks fall badly), and a follower that hears nothing waits at
// least 4 s before it has another one elected: so within this time nobody else
// can have become the leader.
const contactWithin = 3 * time.Second

// checkQuorum wants a state's sender to lead most replicas of the stream. A
// follower that lags still follows, so Current is not asked for; Offline is a
// rumour that can be older than the last contact; and an Active of 0 is a peer
// that was never heard from.
func checkQuorum(info *jetstream.StreamInfo) error {
	c := info.Cluster
	if c == nil || info.Config.Replicas <= 1 {
		return nil // nobody else could know better
	}
	if c.Leader == "" {
		return fmt.Errorf("%w: it knows no leader", ErrNoQuorum)
	}
	followers, heard := 0, 0
	for _, p := range c.Replicas {
		if p.Pending {
			continue // not yet of the group, or not any more
		}
		followers++
		if p.Active > 0 && p.Active <= contactWithin {
			heard++
		}
	}
	if group := followers + 1; heard+1 <= group/2 {
		return fmt.Errorf("%w: %s has heard from %d of its %d followers within %s", ErrNoQuorum, c.Leader, heard, followers, contactWithin)
	}
	return nil
}

// Unanswered reports whether err is of a request that met an election, or a
// server without the others: the same request may well succeed later, or at
// another server.
func Unanswered(err error) bool {
	var refused *jetstream.APIError // also what says that JetStream is not enabled there
	return errors.Is(err, ErrNoQuorum) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.As(err, &refused) && refused.Code == http.StatusServiceUnavailable
}
