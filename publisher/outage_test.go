package publisher_test

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

// during runs p with numbered events that go on while trouble happens: some
// before it, all the time of it, and some after it.
func during(t *testing.T, js jetstream.JetStream, p *publisher.Publisher, trouble func()) publisher.Summary {
	t.Helper()
	const some = 300
	_, err := event.EnsureProducers(t.Context(), js, 1) // not in the middle of the trouble
	require.NoError(t, err)
	flowing, over := make(chan struct{}), make(chan struct{})
	n, after := 0, 0
	src := sourceFunc(func(ctx context.Context) (publisher.Event, error) {
		select {
		case <-over:
			if after++; after > some {
				return publisher.Event{}, io.EOF
			}
		default:
		}
		if n++; n == some {
			close(flowing)
		}
		return numbered(n), ctx.Err()
	})
	type result struct {
		sum publisher.Summary
		err error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := publisher.Run(t.Context(), p, src)
		done <- result{sum, err}
	}()
	<-flowing
	trouble()
	close(over)
	select {
	case r := <-done:
		require.NoError(t, r.err)
		assert.Equal(t, n, int(r.sum.Published), "all of them")
		assert.Zero(t, r.sum.Duplicates, "resends of its own are no duplicates")
		return r.sum
	case <-time.After(natstest.Patience):
		require.FailNow(t, "the run does not end")
		return publisher.Summary{}
	}
}

func TestPublisherKeepsOrderThroughARestartOfNATS(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	p := start(t, srv)
	sum := during(t, js, p, func() {
		for range 3 {
			srv.Restart()
			progress(t, p)
		}
	})
	assert.Equal(t, numbers(int(sum.Published)), payloads(stored(t, js)))
}

// progress waits until p has published more.
func progress(t *testing.T, p *publisher.Publisher) {
	t.Helper()
	before := p.Summary().Published
	require.Eventually(t, func() bool { return p.Summary().Published > before }, natstest.Patience, pollFor)
}

// replicated is a cluster with a stream of three replicas.
func replicated(t *testing.T) (*natstest.Cluster, jetstream.JetStream) {
	t.Helper()
	cluster := natstest.StartCluster(t, 3)
	js := cluster.JetStream(t)
	recreate(t, js, 3)
	return cluster, js
}

// stepDown makes the stream's leader give up, and waits for another.
func stepDown(t *testing.T, nc *nats.Conn) {
	t.Helper()
	require.Eventually(t, func() bool {
		m, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+event.DefaultStream, nil, time.Second)
		var answer struct{ Success bool }
		return err == nil && json.Unmarshal(m.Data, &answer) == nil && answer.Success
	}, natstest.Patience, pollFor)
}

// recreate creates the stream, also after it was deleted.
func recreate(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	natstest.Recreate(t, func() error {
		_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{Replicas: replicas}))
		return err
	})
}

func TestPublisherLosesAndDoublesNothingThroughLeaderElections(t *testing.T) {
	natstest.CheckGoroutines(t)
	cluster, js := replicated(t)
	change := func(o *publisher.Options) {
		o.Create, o.AckTimeout, o.ConflictTimeout = false, 300*time.Millisecond, time.Second
	}
	nc := cluster.Connect(t)

	t.Run("a leader steps down", func(t *testing.T) {
		p := start(t, cluster, change)
		sum := during(t, js, p, func() {
			for range 3 {
				stepDown(t, nc)
				progress(t, p)
			}
		})
		got := payloads(stored(t, js))
		if !slices.Equal(got, numbers(int(sum.Published))) {
			t.Log("stored in another order")
		}
		assert.ElementsMatch(t, numbers(int(sum.Published)), got)
	})
	t.Run("a leader is stopped", func(t *testing.T) {
		natstest.DeleteStream(t, js, event.DefaultStream)
		recreate(t, js, 3)
		leader := cluster.StreamLeader(event.DefaultStream)
		sum := during(t, js, start(t, cluster, change), func() { cluster.Restart(leader) })
		assert.ElementsMatch(t, numbers(int(sum.Published)), payloads(stored(t, js)))
	})
	t.Run("one event at a time keeps the order", func(t *testing.T) {
		natstest.DeleteStream(t, js, event.DefaultStream)
		recreate(t, js, 3)
		p := start(t, cluster, change, func(o *publisher.Options) { o.MaxPending = 1 })
		sum := during(t, js, p, func() {
			for range 3 {
				stepDown(t, nc)
				progress(t, p)
			}
		})
		assert.Equal(t, numbers(int(sum.Published)), payloads(stored(t, js)))
	})
}

func TestPublisherSurvivesAStreamThatIsAwayForAWhile(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	p := start(t, srv, func(o *publisher.Options) { o.AckTimeout = 200 * time.Millisecond })
	natstest.DeleteStream(t, js, event.DefaultStream)
	for n := 1; n <= 100; n++ {
		require.NoError(t, p.Publish(t.Context(), numbered(n)))
	}
	recreate(t, js, 1)
	require.NoError(t, p.Flush(t.Context()))
	got := payloads(stored(t, js))
	slices.SortFunc(got, func(a, b string) int {
		na, _ := strconv.Atoi(a)
		nb, _ := strconv.Atoi(b)
		return na - nb
	})
	assert.Equal(t, numbers(100), got)
}
