// Package bucket follows a NATS KV bucket for as long as a process lives:
// whoever reads it has all that the bucket holds now, again and again, whatever
// becomes of the connection, of the server's watcher, or of the bucket itself.
//
// Follower.Run calls its Reader from one goroutine, which nothing of the Reader's
// may hold up for long. It ends with its context.
package bucket

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DefaultCheck is the time between two checks whether the bucket is still the
	// same: a watcher does not notice when it is deleted and created anew.
	DefaultCheck = 15 * time.Second
	// DefaultTimeout bounds each attempt to open the bucket, and each check.
	DefaultTimeout = 2 * time.Second
	// watcherTimeout bounds the end of a watcher.
	watcherTimeout = 500 * time.Millisecond
	// firstRetry is the pause after the first attempt to read the bucket that
	// fails, for want of a bucket or of NATS. Pauses double up to lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// Reader takes what the bucket holds.
type Reader interface {
	// Missing says that there is no bucket.
	Missing()
	// Begin says that all that there is comes now; what was known before may be
	// out of date.
	Begin()
	// Apply is one entry: a value, or that its key was deleted or has expired.
	Apply(e jetstream.KeyValueEntry)
	// Complete comes when all that was there has come, and after each later entry.
	Complete()
	// Failed says why the bucket cannot be read yet. It is not told the same text
	// twice in a row.
	Failed(err error)
}

// Follower follows one bucket. Conn, JS and Name must be set; zero times take
// the defaults.
type Follower struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	Name string
	// Create makes a missing bucket; it is called once. Nil leaves it missing.
	Create func(ctx context.Context) (jetstream.KeyValue, error)

	Check, Timeout time.Duration

	createTried bool
}

// opened is a bucket as it was opened.
type opened struct {
	kv      jetstream.KeyValue
	created time.Time // tells it from a later bucket of the same name
}

// Run follows the bucket until ctx ends. It reads all of it again whenever the
// connection comes back, for the server may have forgotten the watcher.
func (f *Follower) Run(ctx context.Context, r Reader) {
	f.Check, f.Timeout = cmp.Or(f.Check, DefaultCheck), cmp.Or(f.Timeout, DefaultTimeout)
	connected := f.Conn.StatusChanged(nats.CONNECTED)
	defer f.Conn.RemoveStatusListener(connected)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = firstRetry, lastRetry, 2
	told := ""
	ready := func() {
		wait.Reset()
		told = ""
	}
	for ctx.Err() == nil {
		err := f.follow(ctx, r, connected, ready)
		if err == nil {
			continue
		}
		if err.Error() != told && ctx.Err() == nil {
			told = err.Error()
			r.Failed(err)
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case _, open := <-connected:
			wait.Reset()
			if !open {
				connected = nil // the connection is closed for good
			}
		case <-ctx.Done():
		}
	}
}

// follow opens the bucket and reads it. It returns nil when that has to begin
// again, and else why it cannot go on. It calls ready once it has read all that
// there is.
func (f *Follower) follow(ctx context.Context, r Reader, connected <-chan nats.Status, ready func()) error {
	if !f.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	b, err := f.open(ctx, r)
	if err != nil {
		return err
	}
	watcher, stop, err := f.watch(ctx, b.kv)
	if err != nil {
		return err
	}
	defer stop()
	r.Begin()
	return f.read(ctx, r, b, watcher, connected, ready)
}

// read is follow's loop.
func (f *Follower) read(ctx context.Context, r Reader, b opened, w jetstream.KeyWatcher, connected <-chan nats.Status, ready func()) error {
	check := time.NewTicker(f.Check)
	defer check.Stop()
	complete := false
	for {
		select {
		case e, open := <-w.Updates():
			switch {
			case !open:
				return errors.New("the watcher ended")
			case e == nil: // all that was there has come
				complete = true
				ready()
			default:
				r.Apply(e)
			}
			if complete {
				r.Complete()
			}
		case <-check.C:
			if gone, err := f.gone(ctx, b); gone {
				return err
			}
		case _, open := <-connected:
			if !open {
				return nats.ErrConnectionClosed
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open finds the bucket, or creates it where that is wanted.
func (f *Follower) open(ctx context.Context, r Reader) (opened, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	kv, err := f.JS.KeyValue(ctx, f.Name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		r.Missing()
		if f.Create != nil && !f.createTried {
			f.createTried = true
			kv, err = f.Create(ctx)
		}
	}
	if err != nil {
		return opened{}, err
	}
	created, err := createdAt(ctx, kv)
	return opened{kv, created}, err
}

// gone reports whether b has been deleted. The error is nil when there is
// another bucket in its place. Where NATS does not answer, b counts as there.
func (f *Follower) gone(ctx context.Context, b opened) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
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
func (f *Follower) watch(ctx context.Context, kv jetstream.KeyValue) (w jetstream.KeyWatcher, stop func(), err error) {
	// The context ends the watcher; Timeout bounds only its start.
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(f.Timeout, cancel)
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
