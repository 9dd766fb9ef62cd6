package health

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

const (
	// bucketCheck is the time between two checks whether the bucket is still the
	// same: a watcher does not notice when it is deleted and created anew.
	bucketCheck = 15 * time.Second
	// bucketTimeout bounds each attempt to open the bucket, and each check.
	bucketTimeout = 2 * time.Second
	// watcherTimeout bounds the end of a watcher.
	watcherTimeout = 500 * time.Millisecond
)

// bucket is the producers' bucket as it was opened.
type bucket struct {
	kv      jetstream.KeyValue
	created time.Time // tells it from a later bucket of the same name
}

// open finds the bucket. Where that is wanted it creates a missing one, but
// tries so only once. Without a bucket no producer is known.
func (p *producers) open(ctx context.Context) (bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	kv, err := p.cfg.JS.KeyValue(ctx, event.ProducersBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		p.last.Store(&records{})
		if p.cfg.CreateBucket && !p.createTried {
			p.createTried = true
			kv, err = event.EnsureProducers(ctx, p.cfg.JS, p.cfg.Replicas)
		}
	}
	if err != nil {
		return bucket{}, err
	}
	created, err := createdAt(ctx, kv)
	return bucket{kv, created}, err
}

// gone reports whether b has been deleted. The error is nil when there is
// another bucket in its place. Where NATS does not answer, b counts as there.
func (p *producers) gone(ctx context.Context, b bucket) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	created, err := createdAt(ctx, b.kv)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return true, err
	case err != nil:
		return false, nil
	}
	return !created.Equal(b.created), nil
}

func createdAt(ctx context.Context, kv jetstream.KeyValue) (time.Time, error) {
	status, err := kv.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	s, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return time.Time{}, errors.New("the bucket is no JetStream stream")
	}
	return s.StreamInfo().Created, nil
}

// watch watches all keys until stop is called, which takes watcherTimeout at
// most.
func (p *producers) watch(ctx context.Context, kv jetstream.KeyValue) (w jetstream.KeyWatcher, stop func(), err error) {
	// The context ends the watcher; p.timeout bounds only its start.
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(p.timeout, cancel)
	w, err = kv.WatchAll(ctx)
	limit.Stop()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return w, func() {
		cancel()
		discard(w)
	}, nil
}

// discard takes what an ending watcher still sends, until it closes its updates:
// its sender would else wait for ever. A watcher whose context ended just before
// it was made never closes them (nats.go 1.55 asks too late to be told of its
// subscription's end). It has no sender either, so discard gives up in the end.
func discard(w jetstream.KeyWatcher) {
	limit := time.NewTimer(watcherTimeout)
	defer limit.Stop()
	for {
		select {
		case _, open := <-w.Updates():
			if !open {
				return
			}
		case <-limit.C:
			return
		}
	}
}
