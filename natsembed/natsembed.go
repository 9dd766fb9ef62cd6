// Package natsembed runs a NATS server with JetStream inside this process, for
// the command that needs no other program beside it and for tests.
//
// A Server owns its store directory: the NATS server itself does not lock it,
// and two of them on one directory destroy the log. Start blocks until clients
// can connect; Shutdown blocks until every goroutine of the server is gone.
package natsembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Defaults and fixed settings of the server.
const (
	// DefaultHost is where the server listens unless told otherwise.
	DefaultHost = "127.0.0.1"
	// DefaultName is the server's name unless told otherwise.
	DefaultName = "sluice-local"
	// User is the name of the clients' user where there is a password.
	User = "sluice"
	// DefaultMaxStore is how many bytes JetStream keeps in files: four logs
	// of the default size.
	DefaultMaxStore = 4 << 30

	// NoPort and FreePort are what Options.Port may be beside a TCP port.
	NoPort   = 0
	FreePort = -1

	maxPort   = 1<<16 - 1
	maxMemory = 256 << 20 // bytes of JetStream streams kept in memory
	// A dead connection is noticed after pingInterval * maxPingsOut; NATS'
	// own two minutes are too long for a live feed.
	pingInterval = 10 * time.Second
	maxPingsOut  = 2
	// readyTimeout bounds the wait for the listeners. The recovery of the log
	// comes before that wait and has no limit.
	readyTimeout = 10 * time.Second
	readyPoll    = 50 * time.Millisecond
	lockName     = "sluice.lock" // in the store directory
)

// Options is what a Server is started with. Only StoreDir is required. The
// JSON form is how natstest hands it to another process.
type Options struct {
	// StoreDir holds JetStream's files and the lock on them; it is created
	// when missing.
	StoreDir string
	// Host is the address to listen on, DefaultHost when empty.
	Host string
	// Port is the TCP port for clients. With NoPort only Connect reaches the
	// server; with FreePort the system chooses, and URL tells.
	Port int
	// Name is the server's name, unique in a cluster; DefaultName when empty.
	Name string
	// MaxStore is JetStream's limit in bytes for all files, DefaultMaxStore
	// when 0.
	MaxStore int64
	// SyncAlways has JetStream write each message to the disk (fsync) before it
	// acknowledges it. Without, it does so every two minutes: what a power cut
	// then loses was acknowledged.
	SyncAlways bool
	// Password is what clients need, as the user User; empty lets everybody in who
	// reaches the port.
	Password string
	// Logger is the logger that gets the server's lines: errors and warnings as
	// such, all else at debug. Nil for silence.
	Logger *slog.Logger `json:"-"`

	// Cluster is the cluster's name; empty for a single server. A cluster
	// needs a Port other than NoPort, ClusterPort and the routes of all its nodes
	// (nats://host:port of their ClusterPort), the same on each node.
	Cluster     string
	ClusterPort int
	Routes      []string

	// Configure, where set, gets the NATS server's own options last, for what
	// this struct has no field for (accounts, TLS, leaf nodes).
	Configure func(*server.Options) `json:"-"`
}

// Server is a running NATS server.
type Server struct {
	ns       *server.Server
	lock     *flock.Flock
	listen   bool
	password string
	stop     sync.Once
}

// Start starts a server and returns when clients can connect. The end of ctx
// ends the wait; the server is ended by Shutdown. Errors name the setting to
// change.
func Start(ctx context.Context, o Options) (*Server, error) {
	opts, err := o.server()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded NATS server: %w", err), lock.Close())
	}
	logger := newServerLogger(o.Logger)
	ns.SetLoggerV2(logger, logger.debug, false, false)
	s := &Server{ns: ns, lock: lock, listen: !opts.DontListen, password: o.Password}
	ns.Start() // recovers the log, then returns
	if err := s.ready(ctx, logger); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

// ready waits until the listeners are up.
func (s *Server) ready(ctx context.Context, logger *serverLogger) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("embedded NATS server: not ready after %s", readyTimeout))
	defer cancel()
	for {
		if err := logger.fatal(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.ns.ReadyForConnections(readyPoll) {
			return nil
		}
	}
}

// server is o as the NATS server's own options.
func (o Options) server() (*server.Options, error) {
	if o.StoreDir == "" {
		return nil, errors.New("STORE_DIR is empty: name a directory for JetStream's files")
	}
	if o.Port < FreePort || o.Port > maxPort {
		return nil, fmt.Errorf("NATS_PORT %d: want a TCP port, -1 for a free one or 0 for none", o.Port)
	}
	opts := &server.Options{
		ServerName:         cmp.Or(o.Name, DefaultName),
		Host:               cmp.Or(o.Host, DefaultHost),
		Port:               o.Port,
		DontListen:         o.Port == NoPort,
		JetStream:          true,
		StoreDir:           o.StoreDir,
		JetStreamMaxStore:  cmp.Or(o.MaxStore, DefaultMaxStore),
		JetStreamMaxMemory: maxMemory,
		SyncAlways:         o.SyncAlways,
		PingInterval:       pingInterval,
		MaxPingsOut:        maxPingsOut,
		NoSigs:             true, // the process handles its signals itself
	}
	if o.Password != "" {
		opts.Username, opts.Password = User, o.Password
	}
	if o.Cluster != "" {
		opts.Cluster.Name = o.Cluster
		opts.Cluster.Host = opts.Host
		opts.Cluster.Port = o.ClusterPort
		for _, route := range o.Routes {
			u, err := url.Parse(route)
			if err != nil {
				return nil, fmt.Errorf("route of the cluster: %w", err)
			}
			opts.Routes = append(opts.Routes, u)
		}
	}
	if o.Configure != nil {
		o.Configure(opts)
	}
	if opts.DontListen && opts.Cluster.Port != 0 {
		// Such a server would neither become ready nor shut down: its routes
		// wait for the clients' listener (StartRouting in nats-server).
		return nil, errors.New("NATS_PORT 0: a node of a cluster needs a port for clients")
	}
	return opts, nil
}

// lockDir locks a store directory, which it creates when missing. The system
// unlocks it when the process dies.
func lockDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("STORE_DIR %s: %w", dir, err)
	}
	lock := flock.New(filepath.Join(dir, lockName))
	ok, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("STORE_DIR %s: not writable: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("STORE_DIR %s: %w", dir, err)
	case !ok:
		return nil, fmt.Errorf("STORE_DIR %s is in use by another process: stop it or name another directory", dir)
	}
	return lock, nil
}

// URL is the address for clients, "" when there is only Connect.
func (s *Server) URL() string {
	if !s.listen {
		return ""
	}
	u, err := url.Parse(s.ns.ClientURL())
	if err != nil || s.password == "" {
		return s.ns.ClientURL()
	}
	u.User = url.UserPassword(User, s.password)
	return u.String()
}

// Connect connects inside the process, without TCP. The caller closes it, and
// before Shutdown: such a connection has nothing to reconnect to.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	own := []nats.Option{nats.InProcessServer(s.ns)}
	if s.password != "" {
		own = append(own, nats.UserInfo(User, s.password))
	}
	nc, err := nats.Connect("", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// SyncsAlways is what JetStream itself says of Options.SyncAlways.
func (s *Server) SyncsAlways() bool {
	c := s.ns.JetStreamConfig()
	return c != nil && c.SyncAlways
}

// NATS is the NATS server itself, for what this package does not wrap.
func (s *Server) NATS() *server.Server { return s.ns }

// Shutdown closes the listeners and all connections, writes the log to disk,
// waits for the server's goroutines and unlocks the store directory. Every call
// returns only when that is done.
func (s *Server) Shutdown() {
	s.stop.Do(func() {
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
		_ = s.lock.Close() // the system unlocks it at exit at the latest
	})
}
