package health

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/functions/bucket"
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
	// expiryGrace is how much longer than its time to live a record is shown:
	// NATS says nothing when one expires.
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
	cfg            Config
	check, timeout time.Duration // zero for the follower's own
	grace          time.Duration
	all            records                 // as they come
	live           bool                    // all that was there has come: what comes is new
	last           atomic.Pointer[records] // what it points to never changes
}

func newProducers(cfg Config) *producers {
	p := &producers{cfg: cfg, grace: expiryGrace}
	p.Missing()
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

// run follows the records until ctx ends.
func (p *producers) run(ctx context.Context) {
	f := bucket.Follower{Conn: p.cfg.Conn, JS: p.cfg.JS, Name: event.ProducersBucket, Check: p.check, Timeout: p.timeout}
	if p.cfg.CreateBucket {
		f.Create = func(ctx context.Context) (jetstream.KeyValue, error) {
			return event.EnsureProducers(ctx, p.cfg.JS, p.cfg.Replicas)
		}
	}
	f.Run(ctx, p)
}

// Missing is part of bucket.Reader: without a bucket no producer is known.
func (p *producers) Missing() { p.last.Store(&records{}) }

// Begin is part of bucket.Reader.
func (p *producers) Begin() { p.all, p.live = records{}, false }

// Complete is part of bucket.Reader.
func (p *producers) Complete() {
	p.live = true
	now := maps.Clone(p.all)
	p.last.Store(&now)
}

// Failed is part of bucket.Reader.
func (p *producers) Failed(err error) {
	p.cfg.Logger.Debug("the producers' records cannot be read yet", "bucket", event.ProducersBucket, "err", err)
}

// Apply is part of bucket.Reader: it notes what e says.
func (p *producers) Apply(e jetstream.KeyValueEntry) {
	all := p.all
	name := e.Key()
	if e.Operation() != jetstream.KeyValuePut { // deleted
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
	all[name] = record{state: state, until: p.since(e).Add(written.TTL() + p.grace)}
}

// since is when a record's time to live began: now, unless it was there before. It
// is then NATS's clock that says when; where that is ahead, it counts as now.
func (p *producers) since(e jetstream.KeyValueEntry) time.Time {
	now := time.Now()
	if !p.live && e.Created().Before(now) {
		return e.Created()
	}
	return now
}
