package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

// TestShippedPermissionsAreEnough runs an edge and a publisher as the users of
// infra/nats/nats.conf.
func TestShippedPermissionsAreEnough(t *testing.T) {
	for _, name := range []string{"EDGE_PASSWORD", "PUBLISHER_PASSWORD", "OPERATOR_PASSWORD"} {
		t.Setenv(name, strings.ToLower(name))
	}
	conf, err := server.ProcessConfigFile("../../../infra/nats/nats.conf")
	require.NoError(t, err)
	srv := natstest.Start(t, func(o *natsembed.Options) {
		o.Configure = func(so *server.Options) { so.Users, so.Accounts = conf.Users, conf.Accounts }
	})
	as := func(user string) string {
		return strings.Replace(srv.URL(), "nats://", "nats://"+user+":"+user+"_password@", 1)
	}
	operator := start(t, as("operator"), nil)
	operator.WaitReady()
	publish := srv.Connect(t, nats.UserInfo("publisher", "publisher_password"), nats.CustomInboxPrefix("_INBOX_publisher"), nats.ReconnectBufSize(-1))
	job := func() publisher.Summary {
		p, err := publisher.New(t.Context(), publisher.Options{Conn: publish})
		require.NoError(t, err)
		defer p.Close()
		sum, err := publisher.Run(t.Context(), p, source.Limit(source.NewDemo(source.DemoOptions{}), 5, 0))
		require.NoError(t, err)
		return sum
	}
	before := job()

	p := start(t, as("edge"), map[string]string{
		"NATS_INBOX_PREFIX": "_INBOX_edge", "CREATE_STREAM": "false",
		"RING_EVENTS": "2", "HEARTBEAT_INTERVAL": "100ms",
	})
	p.WaitReady()
	client := p.Open("/stream?last_event_id="+before.FirstID, false)
	data := 0
	for data < 9 { // from a replay, and live
		block, ok := client.Next()
		require.True(t, ok)
		if block.Event == event.TypeData {
			if data++; data == 4 {
				job()
			}
		}
	}
	p.Eventually(func() bool { return strings.Contains(p.Do("GET", "/health").Body, `"event_producer": "idle"`) })
	p.Eventually(func() bool { return strings.Contains(p.Do("GET", "/health").Body, `"instances": 2`) })
	client.Close()
	require.NoError(t, p.Stop())
	assert.NotContains(t, p.Stderr(), "ermissions", "NATS refused the edge something")
	assert.NotContains(t, p.Stderr(), "edge_password")
}
