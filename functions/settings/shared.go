package settings

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"sluice/publisher/event"
)

// What ID_POSITION may be.
const (
	idFirst = "first"
	idLast  = "last"
)

// Shared is what edge and local have.
type Shared struct {
	Server  Server  `embed:"" group:"Server"`
	TLS     TLS     `embed:"" group:"Server"`
	Log     Log     `embed:"" group:"Event log"`
	Feed    Feed    `embed:"" group:"Event log"`
	Client  Client  `embed:"" group:"Clients"`
	Access  Access  `embed:"" group:"Access"`
	Limits  Limits  `embed:"" group:"Limits"`
	Publish Publish `embed:"" group:"Publishing over HTTP"`
}

// Logging is what every command has.
type Logging struct {
	LogLevel slog.Level `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
}

// Server is the process and its HTTP server.
type Server struct {
	Host           string `env:"HOST" default:"${host}" help:"Address to listen on."`
	Port           int    `env:"PORT" default:"8000" help:"TCP port to listen on, 0 for a free one."`
	Logging        `embed:""`
	MetricsAddr    string        `env:"METRICS_ADDR" help:"Host and port of a listener for /metrics alone, such as 127.0.0.1:9090; empty serves /metrics on PORT."`
	CORSOrigins    []string      `name:"cors-origins" env:"CORS_ORIGINS" default:"${cors_origins}" help:"Origins whose pages may read the streams, comma separated, such as https://app.example.com; * for all, without credentials; null for files; --cors-origins= for none. The pages of local itself always may."`
	MaxConnections int           `env:"MAX_CONNECTIONS" default:"${max_connections}" help:"Streams open at once; more are told to come back."`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" default:"8s" help:"Time over which clients are sent away at SIGTERM, SIGINT or SIGHUP; an edge goes on answering for all of it."`
	ReadyLag       uint64        `env:"READY_LAG" default:"${ready_lag}" help:"Events behind the log from which the process is not ready."`
}

// Log is the event log.
type Log struct {
	Stream           string        `env:"STREAM" default:"${stream}" help:"JetStream stream that holds the log."`
	StreamMaxAge     time.Duration `env:"STREAM_MAX_AGE" default:"${stream_max_age}" help:"Retention of a stream that is created."`
	StreamMaxBytes   int64         `env:"STREAM_MAX_BYTES" default:"${stream_max_bytes}" help:"Size of a stream that is created, in bytes."`
	StreamDuplicates time.Duration `env:"STREAM_DUPLICATES" default:"${stream_duplicates}" help:"Window of a created stream in which a message id is stored once; NATS keeps its ids in memory, about 130 bytes an event."`
	MaxEventBytes    int           `env:"MAX_EVENT_BYTES" default:"${max_event_bytes}" help:"Largest payload, in bytes, of which a line end counts 7; a larger one is not published, and told without its data by an edge."`
}

// Feed is what the process reads of the log and keeps in memory.
type Feed struct {
	FeedFilter        []string `env:"FEED_FILTER" help:"Subjects that this instance serves, comma separated, such as events.metric.>; empty for all."`
	RingEvents        int      `env:"RING_EVENTS" default:"${ring_events}" help:"Newest events kept in memory for resuming clients."`
	RingBytes         int64    `env:"RING_BYTES" default:"${ring_bytes}" help:"Newest events kept in memory, in bytes."`
	ReplayConcurrency int      `env:"REPLAY_CONCURRENCY" default:"0" help:"Replay chunks read from JetStream at once, 0 for four per processor."`
	Shards            int      `env:"SHARDS" default:"0" help:"Goroutines that fan events out, 0 for one per processor."`
}

// Client is how every client is served.
type Client struct {
	PendingMsgs       int           `env:"PENDING_MSGS" default:"${pending_msgs}" help:"Events that a client may leave untaken before it is cut."`
	PendingBytes      int64         `env:"PENDING_BYTES" default:"${pending_bytes}" help:"Bytes that a client may leave untaken before it is cut."`
	StallTimeout      time.Duration `env:"STALL_TIMEOUT" default:"${stall_timeout}" help:"Time that a client may take no bytes, or fewer than MIN_RATE, before it is cut."`
	MinRate           int           `env:"MIN_RATE" default:"${min_rate}" help:"Bytes per second that a client with waiting bytes must take."`
	SendBuffer        int           `name:"sndbuf" env:"SNDBUF" default:"65536" help:"Kernel send buffer of a connection, in bytes; 0 for the system's."`
	HeartbeatInterval time.Duration `env:"HEARTBEAT_INTERVAL" default:"${heartbeat_interval}" help:"Time between two heartbeats; keep it below every proxy's timeout."`
	Retry             time.Duration `env:"RETRY" default:"${retry}" help:"Reconnection time that blocks carry, in whole milliseconds."`
	MaxAge            time.Duration `env:"MAX_AGE" default:"0s" help:"Age ± 5 % at which a connection is drained, 0 for never."`
	IDPosition        string        `name:"id-position" env:"ID_POSITION" default:"first" help:"Line of a block that has its id, first or last, unless a request says ?id=; last is for clients that keep the id before they have read the block."`
	Direct            bool          `env:"DIRECT" default:"true" negatable:"" help:"Write to the sockets of HTTP/1.1 clients without net/http."`
}

// Addr is the address to listen on.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Limits are those of a stream that is created, on that many replicas.
func (l *Log) Limits(replicas int) event.StreamLimits {
	return event.StreamLimits{
		MaxAge: l.StreamMaxAge, MaxBytes: l.StreamMaxBytes, Duplicates: l.StreamDuplicates, MaxMsgBytes: l.MaxEventBytes, Replicas: replicas,
	}
}

// IDLast reports whether ID_POSITION is last.
func (t *Client) IDLast() bool { return t.IDPosition == idLast }

// Filters is FEED_FILTER as topic filters. Parse has checked it.
func (f *Feed) Filters() []string {
	var filters []string
	for _, subject := range f.FeedFilter {
		filter, _ := event.ParseSubjectFilter(subject)
		filters = append(filters, filter)
	}
	return filters
}
