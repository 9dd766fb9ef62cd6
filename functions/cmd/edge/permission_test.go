package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access/revoked"
	"sluice/functions/cmd/internal/cmdtest"
	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

// TestShippedPermissionsAreEnough runs an edge and a publisher as the users of
// infra/nats/nats.conf.
func TestShippedPermissionsAreEnough(t *testing.T) {
	srv, as := shipped(t)
	guarded := map[string]string{"AUTH": "jwt", "JWT_SECRET": secret}
	operator := start(t, as("operator"), guarded)
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
		"RING_EVENTS": "2", "HEARTBEAT_INTERVAL": "100ms", "AUTH": "jwt", "JWT_SECRET": secret,
	})
	p.WaitReady()
	all := signed(t, claims("alice", "sluice", map[string]any{"subscribe": []string{">"}}))
	client := p.Open("/stream?last_event_id="+before.FirstID, false, "Authorization", "Bearer "+all)
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
	revoke := cmdtest.Exec(t, map[string]string{"NATS_URL": as("operator")}, "revoke", "--sub=alice")
	require.NoError(t, revoke.Wait(), revoke.Stderr())
	for ended := false; !ended; {
		block, ok := client.Next()
		require.True(t, ok)
		ended = strings.Contains(block.Data, `"reason":"revoked"`)
	}
	client.Close()
	require.NoError(t, p.Stop())
	assert.NotContains(t, p.Stderr(), "ermissions", "NATS refused the edge something")
	assert.NotContains(t, p.Stderr(), "edge_password")
}

// TestShippedUsersMayNoMore: each user of infra/nats/nats.conf tries what the others
// are for.
func TestShippedUsersMayNoMore(t *testing.T) {
	_, as := shipped(t)
	edgeOn(t, as("operator")).WaitReady() // makes the stream and the bucket
	js := func(user string) (*nats.Conn, jetstream.JetStream) {
		nc, err := nats.Connect(as(user), nats.Timeout(natstest.Patience), nats.CustomInboxPrefix("_INBOX_"+user), nats.PermissionErrOnSubscribe(true),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
		require.NoError(t, err)
		return nc, js
	}
	edge, edgeJS := js("edge")
	job, jobJS := js("publisher")
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	for what, try := range map[string]func() error{
		"an edge publishes an event":     func() error { _, err := edgeJS.Publish(short(), "events.a", []byte("1")); return err },
		"an edge deletes the stream":     func() error { return edgeJS.DeleteStream(short(), event.DefaultStream) },
		"an edge purges it":              func() error { return purge(short(), edge, event.DefaultStream) },
		"an edge revokes":                func() error { return revoked.Add(short(), edgeJS, revoked.SubjectKey("alice"), time.Minute) },
		"a publisher deletes the stream": func() error { return jobJS.DeleteStream(short(), event.DefaultStream) },
		"a publisher purges it":          func() error { return purge(short(), job, event.DefaultStream) },
		"a publisher deletes the bucket": func() error { return jobJS.DeleteStream(short(), "KV_"+event.ProducersBucket) },
		"a publisher purges the bucket":  func() error { return purge(short(), job, "KV_"+event.ProducersBucket) },
		"a publisher revokes":            func() error { return revoked.Add(short(), jobJS, revoked.SubjectKey("alice"), time.Minute) },
		"a publisher reads the log": func() error {
			_, err := jobJS.CreateConsumer(short(), event.DefaultStream, jetstream.ConsumerConfig{})
			return err
		},
		"a publisher reads others' inboxes":     func() error { return listens(job, "_INBOX_edge.>") },
		"an edge reads others' inboxes":         func() error { return listens(edge, "_INBOX_publisher.>") },
		"a publisher reads events as they come": func() error { return listens(job, "events.>") },
		"a publisher removes others' records":   func() error { return rollUp(short(), jobJS, "all") },
		"a publisher rolls up its own record":   func() error { return rollUp(short(), jobJS, "sub") },
	} {
		assert.Error(t, try(), what)
	}
	for _, subject := range []string{"events.a", event.ProducerSubject("", "own")} {
		_, err := jobJS.Publish(short(), subject, []byte("{}"))
		assert.NoError(t, err, "what a publisher is for")
	}
}

// rollUp writes a record that takes the place of all in its bucket, or of its own
// subject's.
func rollUp(ctx context.Context, js jetstream.JetStream, what string) error {
	m := nats.NewMsg(event.ProducerSubject("", "own"))
	m.Data = []byte("{}")
	m.Header.Set(jetstream.MsgRollup, what)
	_, err := js.PublishMsg(ctx, m)
	return err
}

func purge(ctx context.Context, nc *nats.Conn, stream string) error {
	_, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+stream, nil)
	return err
}

// listens reports that a subscription is refused.
func listens(nc *nats.Conn, subject string) error {
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.Flush(); err != nil {
		return err
	}
	_, err = sub.NextMsg(time.Second)
	if errors.Is(err, nats.ErrTimeout) {
		return nil // it waits for a message, which it may have
	}
	return err
}

// shipped is a server with the users of infra/nats/nats.conf, and its URL for each.
func shipped(t *testing.T) (srv *natstest.Server, as func(user string) string) {
	t.Helper()
	for _, name := range []string{"EDGE_PASSWORD", "PUBLISHER_PASSWORD", "OPERATOR_PASSWORD"} {
		t.Setenv(name, strings.ToLower(name))
	}
	conf, err := server.ProcessConfigFile("../../../infra/nats/nats.conf")
	require.NoError(t, err)
	srv = natstest.Start(t, func(o *natsembed.Options) {
		o.Configure = func(so *server.Options) { so.Users, so.Accounts = conf.Users, conf.Accounts }
	})
	return srv, func(user string) string {
		return strings.Replace(srv.URL(), "nats://", "nats://"+user+":"+user+"_password@", 1)
	}
}
