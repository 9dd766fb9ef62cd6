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
		"HOST":            testHost,
		"PORT":            testPort,
		"LOG_LEVEL":       testLogLevel,
		"METRICS_ADDR":    testMetricsAddr,
		"CORS_ORIGINS":    testCorsOrigins,
		"MAX_CONNECTIONS": testMaxConnections,
		"DRAIN_TIMEOUT":   testDrainTimeout,
		"READY_LAG":       testReadyLag,
		"FUNCTIONS":       testFunctions,
		"TLS_CERT":        testTLS,
		"TLS_KEY":         testTLS,

		"NATS_URL":          testNatsURL,
		"NATS_CREDS":        testNatsCreds,
		"NATS_CA":           testNatsTLS,
		"NATS_CERT":         testNatsTLS,
		"NATS_KEY":          testNatsTLS,
		"NATS_NKEY":         testNatsNKey,
		"JS_DOMAIN":         testJSDomain,
		"JS_PREFIX":         testJSPrefix,
		"NATS_INBOX_PREFIX": testNatsInboxPrefix,
		"CREATE_STREAM":     testCreateStream,
		"STREAM_REPLICAS":   testStreamReplicas,

		"STREAM":             testStream,
		"STREAM_MAX_AGE":     testStreamMaxAge,
		"STREAM_MAX_BYTES":   testStreamMaxBytes,
		"STREAM_DUPLICATES":  testStreamDuplicates,
		"MAX_EVENT_BYTES":    testMaxEventBytes,
		"FEED_FILTER":        testFeedFilter,
		"RING_EVENTS":        testRingEvents,
		"RING_BYTES":         testRingBytes,
		"REPLAY_CONCURRENCY": testReplayConcurrency,
		"SHARDS":             testShards,

		"PENDING_MSGS":       testPendingMsgs,
		"PENDING_BYTES":      testPendingBytes,
		"STALL_TIMEOUT":      testStallTimeout,
		"MIN_RATE":           testMinRate,
		"SNDBUF":             testSndbuf,
		"HEARTBEAT_INTERVAL": testHeartbeatInterval,
		"RETRY":              testRetry,
		"MAX_AGE":            testMaxAge,
		"ID_POSITION":        testIDPosition,
		"DIRECT":             testDirect,

		"AUTH":                testAuth,
		"JWT_SECRET":          testJWTSecret,
		"JWT_PUBLIC_KEY_FILE": testJWTPublicKeyFile,
		"JWKS_URL":            testJWKSURL,
		"JWKS_REFRESH":        testJWKSRefresh,
		"JWKS_GRACE":          testJWKSGrace,
		"JWT_ISSUER":          testJWTIssuer,
		"JWT_AUDIENCE":        testJWTAudience,
		"JWT_LEEWAY":          testJWTLeeway,
		"JWT_CLAIM":           testJWTClaim,
		"AUTH_COOKIE":         testAuthCookie,
		"AUTH_QUERY":          testAuthQuery,
		"TRUSTED_PROXIES":     testTrustedProxies,
		"FORWARDED_HEADER":    testForwardedHeader,
		"PROXY_PROTOCOL":      testProxyProtocol,
		"MAX_TCP_CONNECTIONS": testMaxTCPConnections,

		"MAX_CONNECTIONS_PER_ADDRESS": testMaxConnectionsPerAddress,
		"MAX_NEW_PER_ADDRESS":         testMaxNewPerAddress,
		"MAX_CONNECTIONS_PER_SUBJECT": testMaxConnectionsPerSubject,
		"MAX_STREAMS_PER_CONNECTION":  testMaxStreamsPerConnection,
		"MAX_TOPIC_SETS":              testMaxTopicSets,
		"MAX_REPLAY_EVENTS":           testMaxReplayEvents,

		"PUBLISH_OPEN":     testPublishOpen,
		"MAX_PUBLISH_WAIT": testMaxPublishWait,
		"MAX_BODY_BYTES":   testMaxBodyBytes,
		"MAX_PUBLISH_RATE": testMaxPublishRate,
		"WEBHOOK_SECRET":   testWebhook,
		"WEBHOOK_TOPIC":    testWebhook,
	}
	for _, name := range cmdtest.Shared {
		assert.Contains(t, tests, name, "local relies on it")
	}
	cmdtest.RunSettings(t, tests)
}
