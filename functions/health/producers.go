package health

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// heartbeatProducer is the name under which the edges' own heartbeat loop is
// shown. No record may have it.
const heartbeatProducer = "heartbeat_producer"

// What /health says of a producer.
const (
	stateRunning = "running"
	stateIdle    = "idle"    // its last run went well
	stateFailed  = "failed"  // its last run did not
	stateMissing = "missing" // it has not reported for three of its periods, or never
)

const (
	// maxProducers is how many producers are shown beside the two that
	// always are.
	maxProducers = 100

	// While there is no bucket, or NATS does not answer, the next attempt
	// waits firstRetry, then longer and longer up to about lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	// bucketCheck is how often the bucket is looked up: a watcher does not
	// notice that another one has taken its place.
	bucketCheck = 15 * time.Second
	// bucketTimeout bounds each attempt to open it, and each look-up.
	bucketTimeout = 2 * time.Second
	// watcherEnds is how long a watcher may take to end.
	watcherEnds = 500 * time.Millisecond
	// expiryGrace is how much longer than its time to live a record is kept
	// when NATS does not say that it expired, because NATS is down.
	expiryGrace = 5 * time.Second
)

// entry is the last record of one producer.
type entry struct {
	state string
	until time.Time
}

// producers follows the records of the producers' bucket.
type producers struct {
	cfg                   Config
	check, timeout, grace time.Duration
	tried                 bool                             // making the bucket was tried
	now                   atomic.Pointer[map[string]entry] // never changed once stored
}

func newProducers(cfg Config) *producers {
	p := &producers{cfg: cfg, check: bucketCheck, timeout: bucketTimeout, grace: expiryGrace}
	p.now.Store(&map[string]entry{})
	return p
}

// states is the state of each known producer; event_producer is always one.
func (p *producers) states() map[string]string {
	states := map[string]string{event.DefaultProducer: stateMissing}
	for name, e := range *p.now.Load() {
		if time.Now().Before(e.until) {
			states[name] = e.state
		}
	}
	return states
}

// run follows the records until ctx ends, from the start again whenever the
// connection came back: the server may have forgotten the watcher.
func (p *producers) run(ctx context.Context) {
	connected := p.cfg.Conn.StatusChanged(nats.CONNECTED)
	defer p.cfg.Conn.RemoveStatusListener(connected)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = firstRetry, lastRetry, 2
	told := ""
	ready := func() {
		wait.Reset()
		told = ""
	}
	for ctx.Err() == nil {
		err := p.follow(ctx, connected, ready)
		if err == nil {
			continue
		}
		if said := err.Error(); said != told && ctx.Err() == nil {
			told = said
			p.cfg.Log.Debug("the producers' records cannot be read yet", "bucket", event.ProducersBucket, "err", err)
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case _, open := <-connected:
			if wait.Reset(); !open {
				connected = nil // closed for good
			}
		case <-ctx.Done():
		}
	}
}

// follow reads the records until that has to begin again (nil), cannot be done
// at the moment, or ctx ends. It calls ready once it has read all there are.
func (p *producers) follow(ctx context.Context, connected <-chan nats.Status, ready func()) error {
	if !p.cfg.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	kv, created, err := p.open(ctx)
	if err != nil {
		return err
	}
	watcher, stop, err := p.watch(ctx, kv)
	if err != nil {
		return err
	}
	defer stop()

	check := time.NewTicker(p.check)
	defer check.Stop()
	records, complete := map[string]entry{}, false
	for {
		select {
		case e, ok := <-watcher.Updates():
			switch {
			case !ok:
				return errors.New("the watcher ended")
			case e == nil: // all that was there has come
				complete = true
				ready()
			default:
				p.apply(records, e)
			}
			if complete {
				now := maps.Clone(records)
				p.now.Store(&now)
			}
		case <-check.C:
			if other, err := p.replaced(ctx, kv, created); other {
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

// open finds the bucket and the time of its creation. Once it tries to create
// a missing one, where that is wanted. Without a bucket no producer is known.
func (p *producers) open(ctx context.Context) (jetstream.KeyValue, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	kv, err := p.cfg.JS.KeyValue(ctx, event.ProducersBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		p.now.Store(&map[string]entry{})
		if p.cfg.CreateBucket && !p.tried {
			p.tried = true
			kv, err = event.EnsureProducers(ctx, p.cfg.JS, p.cfg.Replicas)
		}
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	created, err := createdAt(ctx, kv)
	return kv, created, err
}

// replaced reports whether the bucket is gone or a new one; an error says that
// it is gone. Where NATS does not answer, it is taken for the old one.
func (p *producers) replaced(ctx context.Context, kv jetstream.KeyValue, created time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	now, err := createdAt(ctx, kv)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return true, err
	case err != nil:
		return false, nil
	}
	return !now.Equal(created), nil
}

func createdAt(ctx context.Context, kv jetstream.KeyValue) (time.Time, error) {
	status, err := kv.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return time.Time{}, errors.New("the bucket is no JetStream stream")
	}
	return bucket.StreamInfo().Created, nil
}

// watch watches all keys until stop, which takes watcherEnds at most.
func (p *producers) watch(ctx context.Context, kv jetstream.KeyValue) (w jetstream.KeyWatcher, stop func(), err error) {
	// The context lives as long as the watcher; only its start has a limit.
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

// discard takes what a watcher that ends still sends, for its sender would wait
// for ever for room, until the watcher closes its updates. One whose context
// ended just before it was made never does (nats.go 1.55 asks too late to be
// told of its subscription's end), but it has no sender any more either.
func discard(w jetstream.KeyWatcher) {
	enough := time.NewTimer(watcherEnds)
	defer enough.Stop()
	for {
		select {
		case _, open := <-w.Updates():
			if !open {
				return
			}
		case <-enough.C:
			return
		}
	}
}

// apply notes what e says in records.
func (p *producers) apply(records map[string]entry, e jetstream.KeyValueEntry) {
	name := e.Key()
	if e.Operation() != jetstream.KeyValuePut {
		delete(records, name)
		return
	}
	if name == heartbeatProducer || strings.Contains(name, ".") || event.CheckTopic(name) != nil {
		p.cfg.Log.Debug("a record that is no producer's", "bucket", event.ProducersBucket, "revision", e.Revision())
		return
	}
	var r event.Producer
	state, err := "", json.Unmarshal(e.Value(), &r)
	if err == nil {
		state = map[string]string{
			event.ProducerRunning: stateRunning, event.ProducerOK: stateIdle, event.ProducerFailed: stateFailed,
		}[r.State]
	}
	if state == "" {
		p.cfg.Log.Debug("a producer's record that cannot be read", "producer", name, "revision", e.Revision(), "err", err)
		delete(records, name)
		return
	}
	if _, known := records[name]; !known && name != event.DefaultProducer && len(records) >= maxProducers {
		p.cfg.Log.Debug("too many producers, one is not shown", "producer", name, "most", maxProducers)
		return
	}
	records[name] = entry{state: state, until: time.Now().Add(r.TTL() + p.grace)}
}
