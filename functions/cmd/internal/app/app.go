package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access"
	"sluice/functions/health"
	"sluice/functions/settings"
	"sluice/functions/stream"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/feed/fanout"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Options is what a process is made of.
type Options struct {
	Settings *settings.Shared
	// What the process serves; the probes are always there.
	Stream, Health, Console, Publish bool
	// Conn reconnects for ever and may not have connected yet.
	Conn *nats.Conn
	// PublishConn makes the connection of the function publish; it may not have
	// connected yet.
	PublishConn func() (*nats.Conn, error)
	// APIPrefix is JetStream's, as in event.JetStream.
	APIPrefix string
	// CreateStream lets the process create the JetStream stream and the
	// producers' bucket, with Replicas.
	CreateStream bool
	Replicas     int
	// Laptop is a process for one person: its own pages may read it, as long as it
	// listens on loopback only requests for that are served, and a stop ends as soon
	// as the clients are gone, for there is no load balancer that has to notice.
	Laptop bool
	Logger *slog.Logger
	// Ready is called once, with the address that is listened on, when the
	// process can serve from the log. It must not block.
	Ready func(net.Addr)
}

// app is the parts of a process. Without the function stream there is no feed
// and no handler.
type app struct {
	Options
	instance string
	js       jetstream.JetStream
	feed     *feed.Feed
	handler  *stream.Handler
	health   *health.Health
	publish  publishing
	access   identities
	denial   denial
	metrics  *prometheus.Registry
	// connections are those of both servers.
	connections *connections
	// surprises is spent when it was told how the stream differs from what the
	// settings ask for.
	surprises sync.Once
}

func newApp(o Options) (*app, error) {
	js, err := event.JetStream(o.Conn, o.APIPrefix)
	if err != nil {
		return nil, fmt.Errorf("JetStream context: %w", err)
	}
	a := &app{Options: o, instance: instanceName(), js: js, metrics: newRegistry(o.Conn)}
	a.denial.watch(o.Conn)
	direct := func() int { return 0 }
	if o.Stream || o.Publish {
		gate, err := a.newGate()
		if err != nil {
			return nil, err
		}
		if err := a.newFunctions(gate); err != nil {
			return nil, err
		}
		if a.handler != nil {
			direct = a.handler.Direct
		}
	}
	limit := o.Settings.Server.MaxConnections
	a.connections = newConnections(limit, o.Settings.Limits.TCP, direct, a.metrics)
	if files := a.connections.files; files > 0 && files < limit {
		o.Logger.Warn("the process may not open as many files as MAX_CONNECTIONS needs: raise ulimit -n, or lower it", "MAX_CONNECTIONS", limit, "connections", files)
	}
	cfg := health.Config{
		Stream:       o.Settings.Log.Stream,
		Conn:         o.Conn,
		JS:           js,
		ReadyLag:     o.Settings.Server.ReadyLag,
		Heartbeat:    o.Settings.Client.HeartbeatInterval,
		CreateBucket: o.CreateStream,
		Replicas:     o.Replicas,
		Instance:     a.instance,
		Version:      version(),
		Console:      o.Console,
		Publish:      o.Publish,
		Logger:       o.Logger,
	}
	if a.feed != nil {
		cfg.Local = a.local
	}
	a.health = health.New(cfg)
	return a, nil
}

// newFunctions makes those that serve clients whom the gate admits.
func (a *app) newFunctions(gate *access.Gate) error {
	if a.Stream {
		if err := a.newStream(gate); err != nil {
			return err
		}
	}
	if a.Publish {
		return a.newPublishing(gate)
	}
	return nil
}

func (a *app) newStream(gate *access.Gate) error {
	s := a.Settings
	encoder := sse.NewEncoder(s.Log.Stream, s.Client.Retry, s.Log.MaxEventBytes)
	var err error
	a.feed, err = feed.New(feed.Config{
		Conn:              a.Conn,
		APIPrefix:         a.APIPrefix,
		Stream:            s.Log.Stream,
		Filter:            s.Feed.Filters(),
		Instance:          a.instance,
		RingEvents:        s.Feed.RingEvents,
		RingBytes:         s.Feed.RingBytes,
		Pending:           fanout.Limits{Msgs: s.Client.PendingMsgs, Bytes: s.Client.PendingBytes},
		ReplayConcurrency: s.Feed.ReplayConcurrency,
		HeartbeatInterval: s.Client.HeartbeatInterval,
		Clients:           func() int { return a.health.Clients() },
		Wire:              encoder,
		Shards:            s.Feed.Shards,
		Logger:            a.Logger,
		Registry:          a.metrics,
	})
	if err != nil {
		return fmt.Errorf("FEED_FILTER: %w", err)
	}
	a.handler = stream.New(stream.Config{
		Feed:         a.feed,
		Encoder:      encoder,
		Logger:       a.Logger,
		Registry:     a.metrics,
		Gate:         gate,
		MaxAge:       s.Client.MaxAge,
		StallTimeout: s.Client.StallTimeout,
		MinRate:      s.Client.MinRate,
		IDLast:       s.Client.IDLast(),
		ThroughHTTP:  !s.Client.Direct,
	})
	return nil
}

// local is the state of this process for Health.
func (a *app) local() health.Local {
	s := a.feed.Status()
	return health.Local{
		Clients:  a.feed.Count(),
		LastBeat: s.LastBeat,
		NATS:     a.Conn.IsConnected(),
		Stream:   a.Settings.Log.Stream,
		Present:  s.Reading,
		Problem:  a.denial.explain(s.Err),
		Loaded:   s.Loaded,
		FirstSeq: s.FirstSeq,
		LastSeq:  s.LastSeq,
		Position: s.Position.Seq,
		Lag:      s.Lag,
	}
}

// waitReady waits until the log can be served, or ctx ends.
func (a *app) waitReady(ctx context.Context) bool {
	if !a.ensureStream(ctx) {
		return false
	}
	if a.feed == nil {
		return true
	}
	select {
	case <-a.feed.Loaded():
		return true
	case <-ctx.Done():
		return false
	}
}
