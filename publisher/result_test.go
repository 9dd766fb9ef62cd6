package publisher_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

// results collects the results of events by their numbers, in the order in
// which they come. After Flush or Close no lock is needed to read it.
type results struct {
	mu    sync.Mutex
	order []int
	of    map[int]publisher.Result
}

// ask makes e report to r as number n.
func (r *results) ask(n int, e publisher.Event) publisher.Event {
	e.OnResult = func(res publisher.Result) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.of == nil {
			r.of = map[int]publisher.Result{}
		}
		r.order = append(r.order, n)
		r.of[n] = res
	}
	return e
}

func (r *results) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order)
}

// upTo are the numbers from 1 to n.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// storedIDs are the ids of the log's events on topics that filter matches, by
// their message ids.
func storedIDs(t testing.TB, js jetstream.JetStream, filter string) map[string]event.ID {
	t.Helper()
	s, err := js.Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	epoch, err := event.Epoch(s.CachedInfo())
	require.NoError(t, err)
	all := map[string]event.ID{}
	for _, m := range stored(t, js) {
		if topic, ok := event.Topic(m.Subject()); !ok || !event.Matches(filter, topic) {
			continue
		}
		meta, err := m.Metadata()
		require.NoError(t, err)
		all[m.Headers().Get(jetstream.MsgIDHeader)] = event.ID{Epoch: epoch, Seq: meta.Sequence.Stream}
	}
	return all
}

func TestEveryAcceptedEventHasOneResultBeforeFlushReturns(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{MaxMsgBytes: 2000}))
	require.NoError(t, err)
	before := start(t, srv)
	require.NoError(t, before.Publish(t.Context(), publisher.Event{Topic: "a", MsgID: "order-7", Data: []byte("7")}))
	require.NoError(t, before.Flush(t.Context()))

	p := start(t, srv, func(o *publisher.Options) { o.MaxEventBytes = 10_000 })
	var got results
	for n, e := range []publisher.Event{
		{Topic: "a", Data: []byte("1")},
		{Topic: "a", MsgID: "order-7", Data: []byte("7")},
		{Topic: "a", MsgID: "too-long", Data: repeat("x", 9_000)},
		{Topic: "a", MsgID: "order-8", Data: []byte("8")},
		{Topic: "a", MsgID: "order-8", Data: []byte("8")},
	} {
		require.NoError(t, p.Publish(t.Context(), got.ask(n, e)))
	}
	require.ErrorIs(t, p.Publish(t.Context(), got.ask(5, publisher.Event{Topic: "a b"})), publisher.ErrInvalid)
	require.ErrorIs(t, p.Flush(t.Context()), publisher.ErrFailed)

	assert.Equal(t, []int{0, 1, 2, 3, 4}, got.order, "in order of acknowledgement, and the error of Publish is the result of the sixth")
	ids := storedIDs(t, js, ">")
	made := got.of[0].MsgID
	assert.NotEmpty(t, made, "the publisher tells the message id that it made")
	assert.Equal(t, publisher.Result{MsgID: made, ID: ids[made]}, got.of[0])
	assert.Equal(t, publisher.Result{MsgID: "order-7", ID: ids["order-7"], Duplicate: true}, got.of[1])
	assert.Equal(t, publisher.Result{MsgID: "order-8", ID: ids["order-8"]}, got.of[3])
	assert.Equal(t, publisher.Result{MsgID: "order-8", ID: ids["order-8"], Duplicate: true}, got.of[4])
	refused := got.of[2]
	var api *jetstream.APIError
	require.ErrorAs(t, refused.Err, &api)
	assert.NotErrorIs(t, refused.Err, publisher.ErrUnacknowledged, "the log has refused it")
	assert.Equal(t, publisher.Result{MsgID: "too-long", Err: refused.Err}, refused)
	assert.Equal(t, []uint64{1, 2, 3}, []uint64{ids["order-7"].Seq, ids[made].Seq, ids["order-8"].Seq})
}

func TestResultsComeInOrderThroughAnOutage(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	p := start(t, srv)
	var got results
	publish := func(from, to int) {
		for n := from; n <= to; n++ {
			require.NoError(t, p.Publish(t.Context(), got.ask(n, numbered(n))))
		}
	}
	publish(1, 500)
	srv.Stop()
	publish(501, 900)
	srv.Restart()
	publish(901, 1500)
	require.NoError(t, p.Flush(t.Context()))

	require.Equal(t, upTo(1500), got.order, "each once")
	ids := storedIDs(t, js, ">")
	for n, r := range got.of {
		assert.Equal(t, publisher.Result{MsgID: r.MsgID, ID: ids[r.MsgID]}, r)
		assert.Equal(t, uint64(n), r.ID.Seq)
	}
}

func TestCloseGivesPendingEventsTheirResults(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	p := start(t, srv)
	var got results
	require.NoError(t, p.Publish(t.Context(), got.ask(1, numbered(1))))
	require.NoError(t, p.Flush(t.Context()))
	srv.Stop()
	for n := 2; n <= 300; n++ {
		e := numbered(n)
		e.MsgID = fmt.Sprint("job:", n)
		require.NoError(t, p.Publish(t.Context(), got.ask(n, e)))
	}
	p.Close()
	require.Equal(t, upTo(300), got.order, "in the order of Publish, before Close returns")
	assert.NoError(t, got.of[1].Err)
	for n := 2; n <= 300; n++ {
		r := got.of[n]
		assert.Equal(t, publisher.Result{MsgID: fmt.Sprint("job:", n), Err: r.Err}, r)
		assert.ErrorIs(t, r.Err, publisher.ErrUnacknowledged)
		assert.ErrorIs(t, r.Err, publisher.ErrClosed, "it says what ended the publisher")
	}
	assert.ErrorIs(t, p.Publish(t.Context(), got.ask(301, numbered(301))), publisher.ErrClosed)
	assert.Len(t, got.order, 300, "an event that was not accepted has no result")
}

func TestCloseGivesEventsOnTheirWayTheirResultsInOrder(t *testing.T) {
	srv := natstest.Start(t)
	const events = 200
	arrived, seen := make(chan struct{}), 0
	answering(t, srv, func(*nats.Msg) string {
		if seen++; seen == events {
			close(arrived)
		}
		return ""
	})
	p := start(t, srv, func(o *publisher.Options) { o.AckTimeout = natstest.Patience })
	var got results
	for n := 1; n <= events; n++ {
		require.NoError(t, p.Publish(t.Context(), got.ask(n, numbered(n))))
	}
	select {
	case <-arrived:
	case <-time.After(natstest.Patience):
		require.FailNow(t, "not every event was sent")
	}
	p.Close()
	require.Equal(t, upTo(events), got.order)
	assert.ErrorIs(t, got.of[events].Err, publisher.ErrUnacknowledged)
}

func TestAnEventWhoseAcknowledgementWasLostIsNoDuplicate(t *testing.T) {
	srv := natstest.Start(t)
	seen := 0
	answering(t, srv, func(*nats.Msg) string {
		if seen++; seen == 1 {
			return "" // stored, but nobody learns of it
		}
		return `{"stream":"EVENTS","seq":7,"duplicate":true}`
	})
	p := start(t, srv, func(o *publisher.Options) { o.AckTimeout = 100 * time.Millisecond })
	var got results
	e := numbered(1)
	e.MsgID = "job:1"
	require.NoError(t, p.Publish(t.Context(), got.ask(1, e)))
	require.NoError(t, p.Flush(t.Context()))
	id, err := event.ParseID(idOf(t, srv.JetStream(t), 7))
	require.NoError(t, err)
	assert.Equal(t, publisher.Result{MsgID: "job:1", ID: id}, got.of[1])
	require.NoError(t, p.Publish(t.Context(), got.ask(2, e)))
	require.NoError(t, p.Flush(t.Context()))
	assert.Equal(t, publisher.Result{MsgID: "job:1", ID: id, Duplicate: true}, got.of[2], "published a second time")
}

func TestAnotherStreamOnTheSubjectStoresNothing(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	for stream, subjects := range map[string]string{event.DefaultStream: "events.other.>", "ELSE": "events.metric.>"} {
		cfg := event.StreamConfig(stream, event.StreamLimits{})
		cfg.Subjects = []string{subjects}
		_, err := event.EnsureStream(t.Context(), js, cfg)
		require.NoError(t, err)
	}
	p := start(t, srv)
	var got results
	require.NoError(t, p.Publish(t.Context(), got.ask(1, numbered(1))))
	assert.ErrorIs(t, p.Flush(t.Context()), publisher.ErrFailed)
	assert.ErrorContains(t, got.of[1].Err, "expected stream does not match")
	assert.Empty(t, natstest.Messages(t, js, "ELSE"))
}

func TestAResultComesBeforeTheEventIsCountedOrItsPlaceIsFree(t *testing.T) {
	srv := natstest.Start(t)
	const room, events = 8, 2000
	p := start(t, srv, func(o *publisher.Options) { o.MaxPending = room })
	var got results
	var counted []uint64
	for n := 1; n <= events; n++ {
		e := got.ask(n, numbered(n))
		collect := e.OnResult
		e.OnResult = func(r publisher.Result) {
			counted = append(counted, p.Summary().Published)
			collect(r)
		}
		require.NoError(t, p.Publish(t.Context(), e))
		require.GreaterOrEqual(t, got.count(), n-room, "what a caller keeps for its events is bounded")
	}
	require.NoError(t, p.Flush(t.Context()))
	require.Len(t, counted, events)
	for i, n := range counted {
		require.Equal(t, uint64(i), n)
	}
}

// TestResultsAgreeWithTheLog is a property: whatever is published, over lost
// connections too, the results say what the log holds.
func TestResultsAgreeWithTheLog(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{MaxMsgBytes: 2000}))
	require.NoError(t, err)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		// A topic of its own: the server may come to what a lost connection
		// carried only when the next round has begun.
		round++
		topic := fmt.Sprint("round", round)
		s, err := js.Stream(t.Context(), event.DefaultStream)
		require.NoError(rt, err)
		require.NoError(rt, s.Purge(t.Context()))

		var conn *nats.Conn
		o := options(t, srv, func(o *publisher.Options) {
			o.MaxEventBytes, o.Logger = 10_000, nil
			o.MaxPending = rapid.IntRange(1, 5).Draw(rt, "max pending")
			conn = o.Conn
		})
		p, err := publisher.New(t.Context(), o)
		require.NoError(rt, err)
		defer conn.Close()
		defer p.Close()

		var got results
		accepted := 0
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(rt *rapid.T) {
				e := publisher.Event{Topic: topic, Data: []byte("1")}
				if id := rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(rt, "message id"); id != "" {
					e.MsgID = topic + id
				}
				require.NoError(rt, p.Publish(t.Context(), got.ask(accepted, e)))
				accepted++
			},
			"publish what the log refuses": func(rt *rapid.T) {
				e := publisher.Event{Topic: topic, Data: repeat("x", 9_000)}
				require.NoError(rt, p.Publish(t.Context(), got.ask(accepted, e)))
				accepted++
			},
			"publish what is no event": func(rt *rapid.T) {
				require.ErrorIs(rt, p.Publish(t.Context(), got.ask(-1, publisher.Event{Topic: "a"})), publisher.ErrInvalid)
			},
			"lose the connection": func(rt *rapid.T) {
				if rapid.IntRange(0, 7).Draw(rt, "or not") == 0 {
					_ = conn.ForceReconnect()
				}
			},
			"flush": func(rt *rapid.T) { _ = p.Flush(t.Context()) },
		})
		_ = p.Flush(t.Context())

		require.ElementsMatch(rt, upTo(accepted), plusOne(got.order), "each accepted event has one result")
		ids := storedIDs(t, js, topic)
		var sum publisher.Summary
		stored := map[string]bool{}
		for _, n := range got.order {
			r := got.of[n]
			switch {
			case r.Err != nil:
				sum.Failed++
				require.Equal(rt, publisher.Result{MsgID: r.MsgID, Err: r.Err}, r)
				require.NotContains(rt, ids, r.MsgID)
				continue
			case r.Duplicate:
				sum.Duplicates++
			default:
				sum.Published++
			}
			require.Equal(rt, ids[r.MsgID], r.ID)
			stored[r.MsgID] = true
		}
		require.Len(rt, ids, len(stored), "what the log holds has a result")
		all := p.Summary()
		require.Equal(rt, sum.Published, all.Published)
		require.Equal(rt, sum.Duplicates, all.Duplicates)
		require.LessOrEqual(rt, sum.Failed, all.Failed)
	})
}

func plusOne(all []int) []int {
	plus := make([]int, len(all))
	for i, n := range all {
		plus[i] = n + 1
	}
	return plus
}
