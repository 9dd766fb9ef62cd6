package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"sluice/functions/cmd/internal/cmdtest"
)

// TestEverySettingActs has a test for each setting, which fails if the command
// reads the setting and does not do what it says.
func TestEverySettingActs(t *testing.T) {
	tests := map[string]func(*testing.T){
		"HOST":            host,
		"PORT":            port,
		"LOG_LEVEL":       logLevel,
		"METRICS_ADDR":    metricsAddr,
		"CORS_ORIGINS":    corsOrigins,
		"MAX_CONNECTIONS": maxConnections,
		"DRAIN_TIMEOUT":   drainTimeout,
		"READY_LAG":       readyLag,
		"FUNCTIONS":       functions,

		"NATS_URL":          natsURL,
		"NATS_CREDS":        natsCreds,
		"NATS_INBOX_PREFIX": natsInboxPrefix,
		"CREATE_STREAM":     createStream,
		"STREAM_REPLICAS":   streamReplicas,

		"STREAM":             stream,
		"STREAM_MAX_AGE":     streamMaxAge,
		"STREAM_MAX_BYTES":   streamMaxBytes,
		"STREAM_DUPLICATES":  streamDuplicates,
		"MAX_EVENT_BYTES":    maxEventBytes,
		"FEED_FILTER":        feedFilter,
		"RING_EVENTS":        ringEvents,
		"RING_BYTES":         ringBytes,
		"REPLAY_CONCURRENCY": replayConcurrency,
		"SHARDS":             shards,

		"PENDING_MSGS":       pendingMsgs,
		"PENDING_BYTES":      pendingBytes,
		"STALL_TIMEOUT":      stallTimeout,
		"MIN_RATE":           minRate,
		"SNDBUF":             sndbuf,
		"HEARTBEAT_INTERVAL": heartbeatInterval,
		"RETRY":              retry,
		"MAX_AGE":            maxAge,
		"DIRECT":             direct,
	}
	for _, name := range cmdtest.Shared {
		assert.Contains(t, tests, name, "local relies on it")
	}
	cmdtest.RunSettings(t, tests)
}
