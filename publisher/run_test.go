package publisher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

func TestRunGoesOnAfterABadEventAndFailsAtTheEnd(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	p := start(t, srv)
	bad := fmt.Errorf("line 2: %w", publisher.ErrInvalid)
	sum, err := publisher.Run(t.Context(), p, &list{numbered(1), bad, numbered(2), publisher.Event{Topic: "a b"}, numbered(3)})
	assert.ErrorIs(t, err, publisher.ErrFailed)
	assert.ErrorContains(t, err, "line 2")
	assert.Equal(t, numbers(3), payloads(stored(t, srv.JetStream(t))))
	assert.Equal(t, uint64(3), sum.Published)
	assert.Equal(t, uint64(2), sum.Failed)
}

func TestRunEndsWithAnErrorOfItsSource(t *testing.T) {
	srv := natstest.Start(t)
	broken := errors.New("the pipe is broken")
	sum, err := publisher.Run(t.Context(), start(t, srv), &list{numbered(1), broken, numbered(2)})
	assert.ErrorIs(t, err, broken)
	assert.Equal(t, uint64(1), sum.Published, "what came before is published")
}

func TestRunStopsReadingWhenAskedAndPublishesWhatItRead(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	p := start(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	sum, err := publisher.Run(ctx, p, sourceFunc(func(context.Context) (publisher.Event, error) {
		if n++; n == 500 {
			cancel()
		}
		return numbered(n), nil
	}))
	require.NoError(t, err)
	assert.Equal(t, uint64(500), sum.Published)
	assert.Equal(t, numbers(500), payloads(stored(t, srv.JetStream(t))))
}

func TestRunIsStoppedForGoodAfterItsDrainTimeout(t *testing.T) {
	natstest.CheckGoroutines(t)
	for _, pending := range []int{1000, 10} {
		t.Run(fmt.Sprint("with room for ", pending), func(t *testing.T) {
			srv := natstest.Start(t)
			p := start(t, srv, func(o *publisher.Options) {
				o.DrainTimeout, o.MaxPending = 50*time.Millisecond, pending
			})
			srv.Stop()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			n := uint64(0)
			sum, err := publisher.Run(ctx, p, sourceFunc(func(ctx context.Context) (publisher.Event, error) {
				if n == 20 {
					<-ctx.Done()
					return publisher.Event{}, ctx.Err()
				}
				n++
				return numbered(1), nil
			}))
			assert.ErrorContains(t, err, "DRAIN_TIMEOUT")
			assert.Equal(t, publisher.Summary{Failed: n}, sum, "every event that was read is accounted for")
		})
	}
}

// producer reads the record of a run and its time to live.
func producer(t *testing.T, js jetstream.JetStream, name string) (p event.Producer, ttl string, ok bool) {
	t.Helper()
	s, err := js.Stream(t.Context(), "KV_"+event.ProducersBucket)
	if err != nil {
		return p, "", false
	}
	m, err := s.GetLastMsgForSubject(t.Context(), event.ProducerSubject("", name))
	if err != nil {
		return p, "", false
	}
	require.NoError(t, json.Unmarshal(m.Data, &p))
	return p, m.Header.Get(event.HeaderTTL), true
}

func TestRunKeepsTheProducersRecord(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	began := time.Now().Add(-time.Second)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := start(t, srv, func(o *publisher.Options) { o.Name, o.Every = "host", 1500*time.Millisecond })
	done := make(chan error, 1)
	go func() {
		_, err := publisher.Run(ctx, p, endless())
		done <- err
	}()
	var running event.Producer
	require.Eventually(t, func() bool {
		rec, ttl, ok := producer(t, js, "host")
		running = rec
		return ok && ttl == "6s" && rec.Published > 0
	}, natstest.Patience, pollFor, "it is written again while it runs")
	assert.Equal(t, event.ProducerRunning, running.State)
	assert.Equal(t, "host", running.Name)
	assert.Equal(t, int64(2), running.EverySecs, "whole seconds, rounded up")
	assert.WithinRange(t, running.Started, began, time.Now())
	assert.Zero(t, running.Finished)

	cancel()
	require.NoError(t, <-done)
	ended, ttl, _ := producer(t, js, "host")
	assert.Equal(t, event.ProducerOK, ended.State)
	assert.Equal(t, p.Summary().Published, ended.Published)
	assert.WithinRange(t, ended.Finished, ended.Started, time.Now())
	assert.Equal(t, "6s", ttl)
}

func TestRunRecordsAFailure(t *testing.T) {
	srv := natstest.Start(t)
	_, err := publisher.Run(t.Context(), start(t, srv), &list{numbered(1), publisher.ErrInvalid})
	require.Error(t, err)
	rec, ttl, ok := producer(t, srv.JetStream(t), event.DefaultProducer)
	require.True(t, ok)
	assert.Equal(t, event.ProducerFailed, rec.State)
	assert.Equal(t, uint64(1), rec.Published)
	assert.Equal(t, uint64(1), rec.Failed)
	assert.Equal(t, "24h0m0s", ttl)
}

func TestProducersRecordDisappearsAfterThreePeriods(t *testing.T) {
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	p := start(t, srv, func(o *publisher.Options) { o.Every = time.Second })
	_, err := publisher.Run(t.Context(), p, &list{numbered(1)})
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), event.ProducersBucket)
	require.NoError(t, err)
	_, err = kv.Get(t.Context(), event.DefaultProducer)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := kv.Get(t.Context(), event.DefaultProducer)
		return errors.Is(err, jetstream.ErrKeyNotFound)
	}, natstest.Patience, pollFor)
}
