package settings

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"sluice/functions/access"
	"sluice/functions/access/limit"
	"sluice/functions/access/token"
	"sluice/functions/health"
	"sluice/functions/stream"
	"sluice/functions/stream/feed"
	"sluice/functions/stream/sse"
	"sluice/publisher"
	"sluice/publisher/event"
)

// vars are the defaults that the tags take from the packages which have them
// for their zero fields, and a command's own.
func vars(own kong.Vars) kong.Vars {
	all := kong.Vars{
		"nats_url":     nats.DefaultURL,
		"nats_port":    fmt.Sprint(nats.DefaultPort),
		"store_dir":    storeDir,
		"inbox_prefix": strings.TrimSuffix(nats.InboxPrefix, "."),

		"stream":            event.DefaultStream,
		"stream_max_age":    duration(event.DefaultMaxAge),
		"stream_max_bytes":  fmt.Sprint(event.DefaultLogBytes),
		"stream_duplicates": duration(event.DefaultDuplicates),
		"stream_replicas":   fmt.Sprint(event.DefaultReplicas),
		"max_event_bytes":   fmt.Sprint(event.DefaultMaxBytes),

		"max_connections": fmt.Sprint(access.DefaultMaxConnections),
		"max_per_subject": fmt.Sprint(limit.DefaultStreamsPerSubject),
		"max_topic_sets":  fmt.Sprint(limit.DefaultTopicSets),
		"jwks_refresh":    duration(token.DefaultRefresh),
		"jwks_grace":      duration(token.DefaultGrace),
		"ring_events":     fmt.Sprint(feed.DefaultRingEvents),
		"ring_bytes":      fmt.Sprint(feed.DefaultRingBytes),
		"pending_msgs":    fmt.Sprint(feed.DefaultPendingMsgs),
		"pending_bytes":   fmt.Sprint(feed.DefaultPendingBytes),
		"stall_timeout":   duration(stream.DefaultStallTimeout),
		"min_rate":        fmt.Sprint(stream.DefaultMinRate),

		"ready_lag":          fmt.Sprint(health.DefaultReadyLag),
		"heartbeat_interval": duration(event.DefaultHeartbeat),
		"retry":              duration(sse.DefaultRetry),

		"producer":      event.DefaultProducer,
		"event_type":    event.TypeData,
		"max_pending":   fmt.Sprint(publisher.DefaultMaxPending),
		"timeout":       duration(publisher.DefaultTimeout),
		"ack_timeout":   duration(publisher.DefaultAckTimeout),
		"drain_timeout": duration(publisher.DefaultDrainTimeout),
		"demo_count":    fmt.Sprint(defaultDemoCount),
		"host_count":    fmt.Sprint(defaultHostCount),
	}
	maps.Copy(all, own)
	return all
}

// duration writes 24h and 10m, not 24h0m0s and 10m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
