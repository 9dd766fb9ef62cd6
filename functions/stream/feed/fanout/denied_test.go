package fanout

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
)

// TestWhatASetLeavesOutReachesNobodyOfIt: live and from the ring, while others
// get all of it; and who gets nothing has all the same come on.
func TestWhatASetLeavesOutReachesNobodyOfIt(t *testing.T) {
	s := newStepped(t, 64)
	less, _ := set(t, "a.>", "b").Without("a.secret", "*.*.secret")
	none, _ := set(t, "a.secret.>").Without("a.secret.*")
	for _, topic := range []string{"a.secret", "a.open", "b"} { // to catch up with
		s.add(topic, []byte("1"))
	}
	at := func(seq uint64) string { return position(seq).String() }
	all, _ := s.client(0)
	some, _ := s.clientOf(0, less)
	nothing, _ := s.clientOf(0, none)
	s.live()
	for _, topic := range []string{"a.secret", "a.b.secret", "a.b.open", "a.secret.x", "b"} {
		s.add(topic, []byte("1"))
	}
	s.shard.flush()
	s.want(all, 0)
	require.Equal(t, []string{at(2), at(3), at(6), at(7), at(8)}, some.ids())
	require.Empty(t, nothing.ids())
	for range wheelTicks {
		s.shard.heartbeats(time.Now())
	}
	require.Contains(t, nothing.text(), block(8, "heartbeat"), "it has come to the end all the same")
}

// TestRoutesAreWhatSetsMatch: with filters and denials by chance.
func TestRoutesAreWhatSetsMatch(t *testing.T) {
	filter := rapid.SampledFrom([]string{">", "*", "a", "a.>", "a.*", "*.b", "a.b", "*.*.c", "b.>"})
	rapid.Check(t, func(rt *rapid.T) {
		r := newRoutes()
		sets := map[*Subscription]*topics.Set{}
		for range rapid.IntRange(1, 8).Draw(rt, "clients") {
			made, err := topics.New(rapid.SliceOfN(filter, 1, 4).Draw(rt, "filters")...)
			require.NoError(rt, err)
			made, some := made.Without(rapid.SliceOfN(filter, 0, 3).Draw(rt, "denied")...)
			if !some {
				continue
			}
			sub := &Subscription{view: view{topics: made, wire: encoder}}
			r.add(sub)
			sets[sub] = made
		}
		for i, topic := range []string{"a", "b", "a.b", "b.b", "a.b.c", "b.a.c", "a.a"} {
			r.route(i, &wire.Frame{Topic: topic})
			for sub, made := range sets {
				hits := sub.seat.group.hits
				require.Equal(rt, made.Match(topic), slices.Contains(hits, int32(i)), "%s of %s", topic, made)
			}
		}
	})
}
