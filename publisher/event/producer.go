package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ProducersBucket is the KV bucket in which publishers say how their runs go:
// a key per producer name, a Producer as JSON. A key's time to live is three
// times the declared period, so a producer that stops coming disappears.
const ProducersBucket = "sluice_producers"

// HeaderTTL is the NATS header of a message's time to live (ADR-43). A KV Put
// cannot set it, so producers publish to ProducerSubject instead.
const HeaderTTL = "Nats-TTL"

// The states of a Producer.
const (
	ProducerRunning = "running"
	ProducerOK      = "ok"
	ProducerFailed  = "failed"
)

// DefaultProducer is the name under which the demo and the host publisher run.
const DefaultProducer = "event_producer"

// Producer is what a publisher writes of its current or last run.
type Producer struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished,omitzero"`
	Published uint64    `json:"published"` // events acknowledged, duplicates not counted
	Failed    uint64    `json:"failed"`    // events given up
	EverySecs int64     `json:"every_s"`   // declared period in seconds, 0 for none
}

// TTL is how long the record stays unless it is written again.
func (p Producer) TTL() time.Duration {
	if p.EverySecs <= 0 {
		return 24 * time.Hour
	}
	return 3 * time.Duration(p.EverySecs) * time.Second
}

// ProducerSubject is the NATS subject of a producer's key. Names are topics of
// one token.
func ProducerSubject(name string) string { return "$KV." + ProducersBucket + "." + name }

// EnsureProducers returns the producers' bucket, and creates it when there is
// none. It waits for NATS as long as ctx allows.
func EnsureProducers(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.KeyValue, error) {
	return EnsureBucket(ctx, js, jetstream.KeyValueConfig{
		Bucket:         ProducersBucket,
		Description:    "Sluice producers and the state of their last run",
		LimitMarkerTTL: time.Minute,
		Replicas:       max(replicas, 1),
	})
}

// EnsureBucket returns a KV bucket, and creates it when there is none; one that is
// there is left as it is. It waits for NATS as long as ctx allows.
func EnsureBucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, cfg)
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = js.KeyValue(ctx, cfg.Bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the KV bucket %s: %w", cfg.Bucket, err)
	}
	return kv, nil
}
