package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

const (
	ackTimeout = 2 * time.Second
	retryPause = 100 * time.Millisecond
	// giveUp is how long an event is sent again. It is less than the stream's
	// duplicate window, and more than any fault lasts.
	giveUp = 3 * time.Minute
	// rareOneIn is how seldom an event is on the rare topic.
	rareOneIn = 400
	// keyShift leaves room for the events of one writer in a key.
	keyShift = 40
	// waiting is how many events of one writer may be without an
	// acknowledgement, so that an election does not become a flood.
	waiting = 32
)

// Load is all that publishes.
type Load struct {
	Book *oracle.Book
	URLs []string // of the nodes
	Rate float64  // events per second, all writers together

	serial atomic.Uint64 // of writers
}

// Run publishes with some writers until ctx ends.
func (l *Load) Run(ctx context.Context, writers int, seed uint64) error {
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			errs[i] = l.write(ctx, i, r, l.Rate/float64(writers), 0)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Burst publishes n events as fast as they go.
func (l *Load) Burst(ctx context.Context, n int, r *rand.Rand) error {
	return l.write(ctx, r.IntN(len(l.URLs)), r, 0, n)
}

// write publishes at a rate until ctx ends, or n events if that is not 0.
func (l *Load) write(ctx context.Context, node int, r *rand.Rand, rate float64, n int) error {
	// Each begins with a node of its own.
	opts := nats.GetDefaultOptions()
	for i := range l.URLs {
		opts.Servers = append(opts.Servers, l.URLs[(node+i)%len(l.URLs)])
	}
	opts.NoRandomize, opts.Name = true, "chaos writer"
	opts.MaxReconnect, opts.ReconnectWait, opts.ReconnectBufSize = -1, retryPause, -1
	opts.RetryOnFailedConnect = true
	opts.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // faults are what is wanted
	nc, err := opts.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	w := &writer{load: l, js: js, base: oracle.Key(l.serial.Add(1)) << keyShift, rand: r, slots: make(chan struct{}, waiting)}
	defer w.wg.Wait()
	if n > 0 {
		for range n {
			w.next(ctx)
		}
		return nil
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.next(ctx)
		}
	}
}

// writer is one connection that publishes.
type writer struct {
	load  *Load
	js    jetstream.JetStream
	base  oracle.Key
	count uint64
	rand  *rand.Rand
	wg    sync.WaitGroup
	slots chan struct{}

	mu      sync.Mutex
	fled    time.Time // when it left its server last
	refused int       // attempts since the last acknowledgement
}

// next publishes one event, as soon as not too many are on their way.
func (w *writer) next(ctx context.Context) {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	w.count++
	key := w.base + oracle.Key(w.count)
	topic := w.rand.IntN(len(topics) - 1)
	if w.rand.IntN(rareOneIn) == 0 {
		topic = Rare()
	}
	w.wg.Go(func() {
		defer func() { <-w.slots }()
		w.publish(context.WithoutCancel(ctx), ctx, key, topic)
	})
}

// publish sends an event until the log acknowledges it. What is under way when
// the run ends is sent for a while longer.
func (w *writer) publish(ctx, run context.Context, key oracle.Key, topic int) {
	book := w.load.Book
	subject, data := event.Subject(topics[topic]), Render(key, topic)
	id := jetstream.WithMsgID(strconv.FormatUint(uint64(key), 16))
	for sent := book.Sent(key); book.Now()-sent < giveUp; {
		ask, cancel := context.WithTimeout(ctx, ackTimeout)
		ack, err := w.js.Publish(ask, subject, data, id, jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			book.Acked(oracle.Ack{Key: key, Topic: topic, Seq: ack.Sequence, Sent: sent})
			w.acknowledged()
			return
		}
		if run.Err() != nil {
			return
		}
		w.failed()
		time.Sleep(retryPause)
	}
}

func (w *writer) acknowledged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = 0
}

// failed leaves a server through which nothing is acknowledged, as one that is
// cut off from the others.
func (w *writer) failed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused++
	if w.refused > 2*waiting && time.Since(w.fled) > 2*ackTimeout {
		w.fled, w.refused = time.Now(), 0
		_ = w.js.Conn().ForceReconnect()
	}
}
