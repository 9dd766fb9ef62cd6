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

// heartbeatProducer is the name under which /health shows the edge's own
// heartbeat loop. A record under this name is not shown.
const heartbeatProducer = "heartbeat_producer"

// What /health says of a producer.
const (
	stateRunning = "running"
	stateIdle    = "idle"    // its last run went well
	stateFailed  = "failed"  // its last run failed
	stateMissing = "missing" // it has not reported for three of its periods, or never; no heartbeats are sent
)

// shownAs is what /health says for each state that producers write.
var shownAs = map[string]string{
	event.ProducerRunning: stateRunning,
	event.ProducerOK:      stateIdle,
	event.ProducerFailed:  stateFailed,
}

const (
	// maxProducers is how many producers are shown, without the two that always
	// are.
	maxProducers = 100

	// firstRetry is the pause after the first attempt to read the bucket that
	// fails, for want of a bucket or of NATS. Pauses double up to lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	// expiryGrace is how much longer than its time to live a record is shown
	// when NATS is down and cannot say that it has expired.
	expiryGrace = 5 * time.Second
)

// record is what is known of one producer.
type record struct {
	state string
	until time.Time // after it the record counts as expired
}

// records are the records by the names of their producers.
type records map[string]record

// producers follows the records of the producers' bucket. The goroutine of run
// owns all of it but last.
type producers struct {
	cfg                   Config
	check, timeout, grace time.Duration
	createTried           bool
	last                  atomic.Pointer[records] // what it points to never changes
}

func newProducers(cfg Config) *producers {
	p := &producers{cfg: cfg, check: bucketCheck, timeout: bucketTimeout, grace: expiryGrace}
	p.last.Store(&records{})
	return p
}

// states is the state of each known producer; event_producer is always one.
func (p *producers) states() map[string]string {
	now, found := time.Now(), map[string]string{event.DefaultProducer: stateMissing}
	for name, r := range *p.last.Load() {
		if now.Before(r.until) {
			found[name] = r.state
		}
	}
	return found
}

// run follows the records until ctx ends. It reads all of them again whenever
// the connection comes back, for the server may have forgotten the watcher.
func (p *producers) run(ctx context.Context) {
	connected := p.cfg.Conn.StatusChanged(nats.CONNECTED)
	defer p.cfg.Conn.RemoveStatusListener(connected)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = firstRetry, lastRetry, 2
	logged := "" // the last error, which is not logged twice in a row
	ready := func() {
		wait.Reset()
		logged = ""
	}
	for ctx.Err() == nil {
		err := p.follow(ctx, connected, ready)
		if err == nil {
			continue
		}
		if err.Error() != logged && ctx.Err() == nil {
			logged = err.Error()
			p.cfg.Logger.Debug("the producers' records cannot be read yet", "bucket", event.ProducersBucket, "err", err)
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

// follow opens the bucket and reads its records. It returns nil when that has to
// begin again, and else why it cannot go on. It calls ready once it has read all
// the records that there are.
func (p *producers) follow(ctx context.Context, connected <-chan nats.Status, ready func()) error {
	if !p.cfg.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	b, err := p.open(ctx)
	if err != nil {
		return err
	}
	watcher, stop, err := p.watch(ctx, b.kv)
	if err != nil {
		return err
	}
	defer stop()
	return p.read(ctx, b, watcher, connected, ready)
}

// read is follow's loop.
func (p *producers) read(ctx context.Context, b bucket, w jetstream.KeyWatcher, connected <-chan nats.Status, ready func()) error {
	check := time.NewTicker(p.check)
	defer check.Stop()
	all, complete := records{}, false
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
				p.apply(all, e)
			}
			if complete {
				now := maps.Clone(all)
				p.last.Store(&now)
			}
		case <-check.C:
			if gone, err := p.gone(ctx, b); gone {
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

// apply notes in all what e says.
func (p *producers) apply(all records, e jetstream.KeyValueEntry) {
	name := e.Key()
	if e.Operation() != jetstream.KeyValuePut { // deleted or expired
		delete(all, name)
		return
	}
	if name == heartbeatProducer || strings.Contains(name, ".") || event.CheckTopic(name) != nil {
		p.cfg.Logger.Debug("a record that is no producer's", "bucket", event.ProducersBucket, "revision", e.Revision())
		return
	}
	var written event.Producer
	err := json.Unmarshal(e.Value(), &written)
	state, known := shownAs[written.State]
	if err != nil || !known {
		p.cfg.Logger.Debug("a producer's record that cannot be read", "producer", name, "revision", e.Revision(), "err", err)
		delete(all, name)
		return
	}
	if _, shown := all[name]; !shown && name != event.DefaultProducer && len(all) >= maxProducers {
		p.cfg.Logger.Debug("too many producers, one is not shown", "producer", name, "most", maxProducers)
		return
	}
	all[name] = record{state: state, until: time.Now().Add(written.TTL() + p.grace)}
}
