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
// one token. With an API prefix, as in JetStream, it is the one under which a
// bucket of that API takes values (as nats.go's Put does): plain subjects of
// buckets do not pass a leaf node.
func ProducerSubject(prefix, name string) string {
	subject := "$KV." + ProducersBucket + "." + name
	if prefix != "" {
		return prefix + "." + subject
	}
	return subject
}

// EnsureProducers returns the producers' bucket, and creates it when there is
// none. It waits for NATS as long as ctx allows.
//
// The bucket takes no roll-ups, with which one publisher could remove the records
// of all others. So it has no markers of what has expired either: for those NATS
// has to allow roll-ups (ADR-43). Readers know a record's time to live.
func EnsureProducers(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.KeyValue, error) {
	return ensureBucket(ctx, js, ProducersBucket, func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name:              "KV_" + ProducersBucket,
			Description:       "Sluice producers and the state of their last run",
			Subjects:          []string{ProducerSubject("", ">")},
			MaxMsgsPerSubject: 1,
			Discard:           jetstream.DiscardNew,
			Duplicates:        2 * time.Minute,
			DenyDelete:        true,
			AllowDirect:       true,
			AllowMsgTTL:       true,
			Replicas:          max(replicas, 1),
		})
		return err
	})
}

// EnsureBucket returns a KV bucket, and creates it when there is none; one that is
// there is left as it is. It waits for NATS as long as ctx allows.
func EnsureBucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return ensureBucket(ctx, js, cfg.Bucket, func(ctx context.Context) error {
		_, err := js.CreateKeyValue(ctx, cfg)
		return err
	})
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, name string, create func(context.Context) error) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = create(ctx)
		if err == nil || errors.Is(err, jetstream.ErrBucketExists) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			kv, err = js.KeyValue(ctx, name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the KV bucket %s: %w", name, err)
	}
	return kv, nil
}
