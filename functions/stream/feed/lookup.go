package feed

import (
	"context"
	"sync"
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/turns"
	"sluice/publisher/event"
)

const (
	// freshEvery is how often clients may have the log asked for its state anew:
	// those who come sooner wait for the next time, and get one answer.
	freshEvery = 50 * time.Millisecond
	// mostTimes is how many answers to look-ups of a time are kept.
	mostTimes = 256
)

// times finds positions by store time. Each look-up makes and deletes a consumer,
// which NATS does one at a time for everybody: so there is one under way at a
// time, it is paid for, and who asks for the same time gets the same answer.
type times struct {
	find func(ctx context.Context, epoch int64, t time.Time) (pos event.ID, ok bool, err error)
	pay  func(ctx context.Context, work time.Duration) error
	turn chan struct{} // held by the one that looks up

	mu    sync.Mutex
	known map[instant]event.ID
}

// instant is a time in a log.
type instant struct{ epoch, unixNano int64 }

// at is what find gives, now or since it was asked for the same.
func (ts *times) at(ctx context.Context, epoch int64, t time.Time) (pos event.ID, ok bool, err error) {
	key := instant{epoch, t.UnixNano()}
	if pos, ok = ts.answer(key); ok {
		return pos, true, nil
	}
	select {
	case <-ctx.Done():
		return pos, false, context.Cause(ctx)
	case ts.turn <- struct{}{}:
	}
	defer func() { <-ts.turn }()
	if pos, ok = ts.answer(key); ok {
		return pos, true, nil // while we waited
	}
	began := time.Now()
	if pos, ok, err = ts.find(ctx, epoch, t); ok {
		ts.keep(key, pos)
	}
	if paid := ts.pay(ctx, time.Since(began)); err == nil {
		err = paid
	}
	return pos, ok, err
}

func (ts *times) answer(key instant) (event.ID, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	pos, ok := ts.known[key]
	return pos, ok
}

// keep keeps an answer, in place of any other one when there are many.
func (ts *times) keep(key instant, pos event.ID) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for other := range ts.known {
		if len(ts.known) < mostTimes {
			break
		}
		delete(ts.known, other)
	}
	ts.known[key] = pos
}

// fresh is the log's state as of now or later.
func (f *Feed) fresh(ctx context.Context) (eventlog.State, error) {
	now := time.Now()
	if err := turns.Rest(ctx, f.log.Known().Asked.Add(freshEvery).Sub(now)); err != nil {
		return eventlog.State{}, err
	}
	return f.log.State(ctx, now)
}
