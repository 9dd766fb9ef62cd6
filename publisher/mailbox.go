package publisher

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// item is one event between Publish and its result.
type item struct {
	event    Event
	made     bool   // the publisher made the message id
	order    uint64 // among all items, as the sender took them
	attempts int
	// conflict is since when the stream has called the id in process.
	conflict time.Time
}

// outcome is how one attempt to publish ended.
type outcome struct {
	msg *nats.Msg
	ack *jetstream.PubAck
	err error
}

// mailbox is what has arrived for the sender. To put something in never blocks:
// the slots of Publisher bound the items, and the items the outcomes.
type mailbox struct {
	// wake tells the sender that something has arrived; one token is enough.
	wake chan struct{}

	mu       sync.Mutex
	items    []*item
	outcomes []outcome
	closed   bool // the sender takes no more
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put gives an item to the sender, unless that has ended.
func (b *mailbox) put(it *item) bool {
	b.mu.Lock()
	open := !b.closed
	if open {
		b.items = append(b.items, it)
	}
	b.mu.Unlock()
	b.signal()
	return open
}

// report takes the outcome of an attempt from nats.go, whose goroutine must
// not block.
func (b *mailbox) report(o outcome) {
	b.mu.Lock()
	if !b.closed {
		b.outcomes = append(b.outcomes, o)
	}
	b.mu.Unlock()
	b.signal()
}

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (b *mailbox) take() ([]*item, []outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	items, outcomes := b.items, b.outcomes
	b.items, b.outcomes = nil, nil
	return items, outcomes
}

// close refuses whatever comes from now on.
func (b *mailbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}
