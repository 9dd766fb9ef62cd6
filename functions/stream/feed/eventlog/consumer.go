package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/functions/stream/feed/wire"
	"sluice/publisher/event"
)

const (
	// inactiveThreshold is how long the server keeps a consumer that nobody uses.
	inactiveThreshold = 10 * time.Second
	// deleteTimeout bounds the wait for the deletion of a consumer, which may
	// be one at a server that is gone.
	deleteTimeout = requestTimeout / 4
	// maxPlacings is how many consumers are made until one is on the server
	// that is wanted: of five servers it is then found in 99.9 % of all cases.
	maxPlacings = 32
)

// name is a new consumer's name, which says whose and what for.
func (l *Log) name(purpose string) string {
	return "sluice_" + l.instance + "_" + purpose + "_" + strconv.FormatUint(l.serial.Add(1), 36)
}

// config is what all our consumers share: nothing is acknowledged, nothing is
// kept on disk.
func (l *Log) config(purpose string, subjects []string, after uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:              l.name(purpose),
		Description:       "Sluice edge " + l.instance,
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		FilterSubjects:    subjects,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: inactiveThreshold,
	}
}

// create makes a consumer, under another name each time that nobody answers:
// one whose answer was lost may be there, and is left to the server. A creation
// does not end with the client: a consumer of which nothing is known cannot be
// deleted.
//
// at is the name of the server on which it must be, "" for any. The log's
// servers take new consumers at random, so some are made in vain.
func (l *Log) create(ctx context.Context, at string, make func(context.Context) (*jetstream.ConsumerInfo, error)) error {
	for range maxPlacings {
		var info *jetstream.ConsumerInfo
		err := l.repeat(ctx, func() (err error) {
			once, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
			defer cancel()
			info, err = make(once)
			return err
		})
		if err != nil || at == "" || serverOf(info) == at {
			return err
		}
		l.deleteConsumer(info.Name)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("%d consumers, and none of them on the server %s", maxPlacings, at)
}

// serverOf is the name of the server on which a consumer is, "" outside of a
// cluster.
func serverOf(info *jetstream.ConsumerInfo) string {
	if info.Cluster == nil {
		return ""
	}
	return info.Cluster.Leader
}

// deleteConsumer deletes a consumer; if that fails the server does it after
// inactiveThreshold.
func (l *Log) deleteConsumer(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	if l.conn.IsConnected() {
		_ = l.js.DeleteConsumer(ctx, l.stream, name)
	}
}

// ErrMissing says that a delivery of a consumer is missing. What the consumer
// delivers after that must not be used.
var ErrMissing = errors.New("a delivery is missing")

// deliveries counts one consumer's deliveries, so that a missing one is noticed.
type deliveries struct {
	consumer string
	server   string // on which it is
	epoch    int64  // of the log that it reads
	number   uint64 // of the last delivery
}

// Server is the name of the server on which the consumer is, "" outside of a
// cluster.
func (d *deliveries) Server() string { return d.server }

// take is the event that m delivers, which must be the next one. The event's
// Topic is "" when its subject is outside the topic grammar.
func (d *deliveries) take(m *nats.Msg) (wire.Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return wire.Message{}, fmt.Errorf("message metadata: %w", err)
	}
	if meta.Consumer != d.consumer || meta.Sequence.Consumer != d.number+1 {
		return wire.Message{}, fmt.Errorf("%w: %d of %s came after %d of %s",
			ErrMissing, meta.Sequence.Consumer, meta.Consumer, d.number, d.consumer)
	}
	d.number++
	topic, _ := event.Topic(m.Subject)
	return wire.Message{
		ID:    event.ID{Epoch: d.epoch, Seq: meta.Sequence.Stream},
		Topic: topic, Header: m.Header.Get(event.HeaderType), Data: m.Data, Time: meta.Timestamp,
	}, nil
}

// isEvent reports whether m is an event. An event has its own subject, a status
// of the consumer that of our inbox. Headers tell nothing, because a publisher
// can set a Status too.
func isEvent(m *nats.Msg) bool { return m.Sub == nil || m.Subject != m.Sub.Subject }

// Consumer is a short-lived pull consumer: a way through an older part of the
// log.
type Consumer struct {
	log   *Log
	empty bool
	deliveries
}

// Empty reports whether there was nothing for the consumer when it was made.
func (c *Consumer) Empty() bool { return c.empty }

// Consume makes a consumer of the events after a position. subjects must not
// overlap (topics.Set.Subjects). at is the server on which it must be, "" for
// any.
func (l *Log) Consume(ctx context.Context, purpose string, subjects []string, after event.ID, at string) (*Consumer, error) {
	c := &Consumer{log: l}
	err := l.create(ctx, at, func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
		cfg := l.config(purpose, subjects, after.Seq)
		made, err := l.js.CreateConsumer(ctx, l.stream, cfg)
		if err != nil {
			return nil, fmt.Errorf("create the consumer %s: %w", cfg.Name, err)
		}
		info := made.CachedInfo()
		c.deliveries = deliveries{consumer: cfg.Name, server: serverOf(info), epoch: after.Epoch}
		c.empty = info.NumPending == 0
		return info, nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close deletes the consumer.
func (c *Consumer) Close() { c.log.deleteConsumer(c.consumer) }

// pullRequest is CONSUMER.MSG.NEXT (ADR-13): nats.go cannot bound one fetch in
// events and in bytes.
type pullRequest struct {
	Batch    int  `json:"batch"`
	MaxBytes int  `json:"max_bytes,omitempty"`
	NoWait   bool `json:"no_wait"`
}

// What ends a pull beside its messages (ADR-13).
const (
	statusBeat     = "100"
	statusNothing  = "404"
	statusTimeout  = "408"
	statusConflict = "409"
	// statusQueue is how many of these may wait beside the events.
	statusQueue = 16
)

// ErrConsumerGone is what Fetch gives when the consumer is no more, or is so
// new that not all servers know of it.
var ErrConsumerGone = errors.New("the consumer is gone")

// Fetch gets what the consumer has now, and waits for nothing more: at most so
// many events and bytes (0: no bound of bytes; one event always fits). more is
// false when it has nothing left. After an error the consumer may have delivered
// events that Fetch did not return, and does not deliver them again: make another.
func (c *Consumer) Fetch(ctx context.Context, events, maxBytes int) (got []wire.Message, more bool, err error) {
	msgs, more, err := c.pull(ctx, events, maxBytes)
	if err != nil {
		return nil, false, err
	}
	got = make([]wire.Message, len(msgs))
	for i, m := range msgs {
		if got[i], err = c.take(m); err != nil {
			return nil, false, err
		}
	}
	return got, more, nil
}

func (c *Consumer) pull(ctx context.Context, events, maxBytes int) (msgs []*nats.Msg, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience) // it may have to look through the whole log
	defer cancel()
	// A channel, because NextMsg takes an event with a Status 503 for an error.
	ch := make(chan *nats.Msg, events+statusQueue)
	sub, err := c.log.conn.ChanSubscribe(c.log.conn.NewInbox(), ch)
	if err != nil {
		return nil, false, fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	body, err := json.Marshal(pullRequest{Batch: events, MaxBytes: maxBytes, NoWait: true})
	if err != nil {
		return nil, false, err
	}
	if err := c.log.conn.PublishRequest(c.log.prefix+".CONSUMER.MSG.NEXT."+c.log.stream+"."+c.consumer, sub.Subject, body); err != nil {
		return nil, false, fmt.Errorf("pull: %w", err)
	}
	// A request whose bytes are used up to the last one ends without a word.
	for left := maxBytes; len(msgs) < events && (left > 0 || maxBytes == 0); {
		var m *nats.Msg
		select {
		case <-ctx.Done():
			return nil, false, fmt.Errorf("pull: %w", context.Cause(ctx))
		case m = <-ch:
		}
		if isEvent(m) {
			msgs = append(msgs, m)
			left -= m.Size()
			continue
		}
		switch status, text := m.Header.Get("Status"), m.Header.Get("Description"); {
		case status == statusNothing || status == statusTimeout:
			return msgs, false, nil
		case status == statusConflict && strings.Contains(text, "MaxBytes"):
			if len(msgs) == 0 && maxBytes > 0 {
				return c.pull(ctx, 1, 0)
			}
			return msgs, true, nil
		case status != statusBeat:
			return nil, false, fmt.Errorf("%w: %s %s", ErrConsumerGone, status, text)
		}
	}
	return msgs, true, nil
}
