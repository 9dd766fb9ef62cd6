// Package stream is the JetStream stream of a run, as its operator has it: it
// creates, changes, purges and recreates it, past all proxies, and writes into
// the run's book what the log says of itself.
//
// What one node says is believed only while it sees a leader and a majority of
// current peers. Methods block until JetStream has answered, and ask again
// through elections for as long as their context allows.
package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

const (
	askTimeout = 2 * time.Second
	watchEvery = 250 * time.Millisecond
	// freshPeer is how lately a leader must have heard of a peer that counts.
	freshPeer = 2 * time.Second
	// opTimeout bounds what an operator asks for, elections included.
	opTimeout = 2 * time.Minute
)

// Stream is the log. Its methods are safe for concurrent use.
type Stream struct {
	book     *oracle.Book
	replicas int
	conns    []*nats.Conn // one to each node
	js       []jetstream.JetStream

	edit sync.Mutex // held by who changes the stream
}

// Open connects to the nodes, one connection each.
func Open(urls []string, replicas int, book *oracle.Book) (*Stream, error) {
	s := &Stream{book: book, replicas: replicas}
	for _, url := range urls {
		nc, err := nats.Connect(url, nats.Name("chaos"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
			nats.ReconnectWait(watchEvery), nats.ReconnectBufSize(-1), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // faults are what is wanted
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("connect to %s: %w", url, err)
		}
		s.conns = append(s.conns, nc)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(askTimeout))
		if err != nil {
			s.Close()
			return nil, err
		}
		s.js = append(s.js, js)
	}
	return s, nil
}

// Close closes the connections.
func (s *Stream) Close() {
	for _, nc := range s.conns {
		nc.Close()
	}
}

// config is the stream as a run has it when no fault has changed it.
func (s *Stream) config() jetstream.StreamConfig {
	cfg := event.StreamConfig(event.DefaultStream, event.StreamLimits{Replicas: s.replicas})
	// nats-server 2.15.2 takes a shorter age up only where there was none
	// (UpdateConfig of its file store): else the old age's timer has to end first.
	cfg.MaxAge = 0
	return cfg
}

// again does something on one node after the other until it works.
func (s *Stream) again(ctx context.Context, what string, f func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	n := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		n++
		ask, done := context.WithTimeout(ctx, askTimeout)
		defer done()
		return struct{}{}, f(ask, s.js[n%len(s.js)])
	}, backoff.WithBackOff(backoff.NewConstantBackOff(watchEvery)), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Create creates the stream.
func (s *Stream) Create(ctx context.Context) error {
	asked := s.book.Now()
	return s.again(ctx, "create the stream", func(ctx context.Context, js jetstream.JetStream) error {
		made, err := js.CreateStream(ctx, s.config())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			made, err = js.Stream(ctx, event.DefaultStream)
		}
		if err != nil {
			return err
		}
		epoch, err := event.Epoch(made.CachedInfo())
		if err == nil {
			s.book.Created(epoch, asked)
		}
		return err
	})
}

// Recreate deletes the stream and creates it again after a pause.
func (s *Stream) Recreate(ctx context.Context, pause time.Duration) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	return s.RecreateNow(ctx, pause)
}

// RecreateNow is Recreate for who has an Edit under way.
func (s *Stream) RecreateNow(ctx context.Context, pause time.Duration) error {
	s.book.Deleting()
	err := s.again(ctx, "delete the stream", func(ctx context.Context, js jetstream.JetStream) error {
		err := js.DeleteStream(ctx, event.DefaultStream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // an answer was lost
		}
		return err
	})
	if err != nil {
		return err
	}
	s.book.Deleted()
	time.Sleep(pause)
	return s.Create(ctx)
}

// Edit changes the stream's configuration until restore is called.
func (s *Stream) Edit(ctx context.Context, change func(*jetstream.StreamConfig)) (restore func() error, err error) {
	s.edit.Lock()
	cfg := s.config()
	change(&cfg)
	remembers := func() {}
	if cfg.Duplicates < s.config().Duplicates {
		remembers = s.book.Forgetful()
	}
	if err := s.update(ctx, cfg); err != nil {
		remembers()
		err = errors.Join(err, s.update(context.WithoutCancel(ctx), s.config()))
		s.edit.Unlock()
		return nil, err
	}
	return sync.OnceValue(func() error {
		defer s.edit.Unlock()
		defer remembers()
		return s.update(context.WithoutCancel(ctx), s.config())
	}), nil
}

func (s *Stream) update(ctx context.Context, cfg jetstream.StreamConfig) error {
	return s.again(ctx, "change the stream", func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.UpdateStream(ctx, cfg)
		return err
	})
}

// Purge removes all events.
func (s *Stream) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	return s.again(ctx, "purge the stream", func(ctx context.Context, js jetstream.JetStream) error {
		at, err := js.Stream(ctx, event.DefaultStream)
		if err != nil {
			return err
		}
		return at.Purge(ctx, opts...)
	})
}

// PurgeTopic removes all events of a topic until now, from the middle of the log.
func (s *Stream) PurgeTopic(ctx context.Context, topic int, name string) error {
	through := s.book.Last().Last
	s.book.Removing(topic, through)
	return s.Purge(ctx, jetstream.WithPurgeSubject(event.Subject(name)), jetstream.WithPurgeSequence(through+1))
}

// StepDown makes the stream's leader give up.
func (s *Stream) StepDown(ctx context.Context) error {
	return s.request(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+event.DefaultStream, "")
}

// leadWithin is how long a node has to become the leader that is to be it.
const leadWithin = 20 * time.Second

// Lead makes a node the stream's leader; if that does not work it stays as it is.
func (s *Stream) Lead(ctx context.Context, node int) error {
	for until := time.Now().Add(leadWithin); time.Now().Before(until); time.Sleep(watchEvery) {
		if now, ok := s.Leader(ctx); ok && now == node {
			return nil
		}
		body := fmt.Sprintf(`{"placement":{"preferred":"n%d"}}`, node+1)
		if err := s.request(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+event.DefaultStream, body); err != nil {
			return err
		}
	}
	return nil
}

// Followers are the subjects to which the stream's push consumers deliver, each
// with the node that has it.
func (s *Stream) Followers(ctx context.Context) (nodes map[string]int, err error) {
	err = s.again(ctx, "list the consumers", func(ctx context.Context, js jetstream.JetStream) error {
		nodes = map[string]int{}
		at, err := js.Stream(ctx, event.DefaultStream)
		if err != nil {
			return err
		}
		list := at.ListConsumers(ctx)
		for info := range list.Info() {
			if info.Cluster == nil || info.Config.DeliverSubject == "" {
				continue
			}
			if node, ok := nodeIndex(info.Cluster.Leader); ok {
				nodes[info.Config.DeliverSubject] = node
			}
		}
		return list.Err()
	})
	return nodes, err
}

// RemoveConsumers deletes all consumers of the stream.
func (s *Stream) RemoveConsumers(ctx context.Context) (n int, err error) {
	names, err := s.Consumers(ctx)
	for _, name := range names {
		if err = s.request(ctx, "$JS.API.CONSUMER.DELETE."+event.DefaultStream+"."+name, ""); err != nil {
			return n, err
		}
		n++
	}
	return n, err
}

// Consumers are the names of the stream's consumers.
func (s *Stream) Consumers(ctx context.Context) (names []string, err error) {
	err = s.again(ctx, "list the consumers", func(ctx context.Context, js jetstream.JetStream) error {
		names = nil
		at, err := js.Stream(ctx, event.DefaultStream)
		if err != nil {
			return err
		}
		list := at.ConsumerNames(ctx)
		for name := range list.Name() {
			names = append(names, name)
		}
		return list.Err()
	})
	return names, err
}

// request asks the JetStream API until somebody answers, whatever the answer is.
func (s *Stream) request(ctx context.Context, subject, body string) error {
	return s.again(ctx, subject, func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.Conn().RequestWithContext(ctx, subject, []byte(body))
		return err
	})
}
