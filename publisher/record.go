package publisher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

const (
	// recordPeriod is how often a running publisher says so, unless its
	// record's time to live asks for more.
	recordPeriod = 10 * time.Second
	// recordTimeout bounds one write of the record. A run never fails, nor
	// waits longer, because of it.
	recordTimeout = time.Second
)

// record is the producer's entry in event.ProducersBucket: what /health shows
// of the run.
type record struct {
	p     *Publisher
	entry event.Producer
}

func newRecord(p *Publisher) *record {
	return &record{p: p, entry: event.Producer{
		Name:      p.opts.Name,
		State:     event.ProducerRunning,
		Started:   time.Now().UTC(),
		EverySecs: int64((p.opts.Every + time.Second - 1) / time.Second),
	}}
}

// refresh keeps the record at running until ctx ends.
func (r *record) refresh(ctx context.Context) {
	tick := time.NewTicker(min(recordPeriod, r.entry.TTL()/3))
	defer tick.Stop()
	for {
		r.write(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// finish writes how the run ended. refresh must have returned.
func (r *record) finish(ctx context.Context, runErr error) {
	r.entry.State = event.ProducerOK
	if runErr != nil {
		r.entry.State = event.ProducerFailed
	}
	r.entry.Finished = time.Now().UTC()
	r.write(ctx)
}

func (r *record) write(ctx context.Context) {
	if r.p.records.Err() != nil {
		return
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(asked, recordTimeout)
	defer cancel()
	defer context.AfterFunc(r.p.records, cancel)()
	sum := r.p.Summary()
	r.entry.Published, r.entry.Failed = sum.Published, sum.Failed
	err := r.put(ctx)
	if errors.Is(err, jetstream.ErrNoStreamResponse) && r.p.opts.Create {
		if _, err = event.EnsureProducers(ctx, r.p.js, r.p.opts.Limits.Replicas); err == nil {
			err = r.put(ctx)
		}
	}
	if err != nil && asked.Err() == nil {
		r.p.opts.Logger.Debug("the producer's record is not written", "bucket", event.ProducersBucket,
			"err", cmp.Or(context.Cause(r.p.records), err))
	}
}

// put publishes the record: a KV Put cannot set a time to live.
func (r *record) put(ctx context.Context) error {
	data, err := json.Marshal(r.entry)
	if err != nil {
		return err
	}
	m := nats.NewMsg(event.ProducerSubject(r.p.opts.APIPrefix, r.entry.Name))
	m.Data = data
	m.Header.Set(event.HeaderTTL, r.entry.TTL().String())
	_, err = r.p.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	return err
}
