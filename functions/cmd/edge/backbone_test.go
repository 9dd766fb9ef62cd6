package main

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

func configured(change func(*server.Options)) natstest.Option {
	return func(o *natsembed.Options) { o.Configure = change }
}

// testNatsTLS: a server that shows a certificate of an authority of its own, and
// demands one of the client.
func testNatsTLS(t *testing.T) {
	own, client, stranger := newPair(t, "localhost"), newPair(t, "edge"), newPair(t, "edge")
	srv := natstest.Start(t, configured(func(o *server.Options) {
		pair, err := tls.LoadX509KeyPair(own.cert, own.key)
		require.NoError(t, err)
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 30
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: client.roots(t), MinVersion: tls.VersionTLS12}
	}))
	at := strings.Replace(srv.URL(), "127.0.0.1", "localhost", 1)
	edgeOn(t, at, "NATS_CA", own.cert, "NATS_CERT", client.cert, "NATS_KEY", client.key).WaitReady()
	for _, wrong := range [][]string{
		{"NATS_CERT", client.cert, "NATS_KEY", client.key}, // an authority that nobody knows
		{"NATS_CA", own.cert},
		{"NATS_CA", own.cert, "NATS_CERT", stranger.cert, "NATS_KEY", stranger.key},
	} {
		e := edgeOn(t, at, wrong...)
		e.Logged("NATS is not reachable, trying on; until it is, this process is live but not ready")
		e.WaitNotReady()
	}
}

func testNatsNKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "user.nk")
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	srv := natstest.Start(t, configured(func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }))
	e := edgeOn(t, srv.URL(), "NATS_NKEY", file)
	e.WaitReady()
	assert.NotContains(t, e.Stderr(), string(seed))
	edgeOn(t, srv.URL()).Logged("NATS is not reachable, trying on; until it is, this process is live but not ready")
}

// testJSDomain: an edge and a publisher at a leaf node, the log in the hub's
// domain. The leaf has a JetStream of its own.
func testJSDomain(t *testing.T) {
	ports := natstest.Ports(t, 1)
	hub := natstest.Start(t, configured(func(o *server.Options) {
		o.JetStreamDomain, o.LeafNode.Host, o.LeafNode.Port = "hub", "127.0.0.1", ports[0]
	}))
	leaf := natstest.Start(t, func(o *natsembed.Options) {
		o.Name = "leaf"
		o.Configure = func(so *server.Options) {
			so.JetStreamDomain = "leaf"
			so.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats", Host: "127.0.0.1:" + strconv.Itoa(ports[0])}}}}
		}
	})
	e := edgeOn(t, leaf.URL(), "JS_DOMAIN", "hub", "RING_EVENTS", "4", "AUTH", "jwt", "JWT_SECRET", secret)
	e.WaitReady()
	conn := leaf.Connect(t, nats.ReconnectBufSize(-1))
	p, err := publisher.New(t.Context(), publisher.Options{Conn: conn, APIPrefix: "$JS.hub.API"})
	require.NoError(t, err)
	defer p.Close()
	sum, err := publisher.Run(t.Context(), p, source.Limit(source.NewDemo(source.DemoOptions{}), 20, 0))
	require.NoError(t, err)
	require.EqualValues(t, 20, sum.Published)
	all := signed(t, claims("alice", "sluice", map[string]any{"subscribe": []string{">"}}))
	c := e.as(all, streamtest.Query{Params: url.Values{"from": {"start"}}})
	c.System(t, "open")
	for seq := uint64(1); seq <= 20; seq++ { // from a replay, and from memory
		require.Equal(t, seq, c.Event(t).Seq())
	}
	_, err = leaf.JetStream(t).Stream(t.Context(), event.DefaultStream)
	assert.ErrorIs(t, err, jetstream.ErrStreamNotFound, "the leaf has none")
	_, err = hub.JetStream(t).Stream(t.Context(), event.DefaultStream)
	assert.NoError(t, err)
	e.Eventually(func() bool { return strings.Contains(e.Do(http.MethodGet, "/health").Body, `"event_producer": "idle"`) })
}

// testJSPrefix: the log is in another account, whose API is imported under another
// name; so are the events that its consumers deliver.
func testJSPrefix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(`
accounts {
  LOGS: {
    jetstream: enabled
    users: [ { user: logs, password: x } ]
    exports: [ { service: "$JS.API.>", response_type: stream }, { service: "$JS.FC.>" }, { stream: "_INBOX_edge.>" } ]
  }
  EDGES: {
    users: [ { user: edge, password: x } ]
    imports: [
      { service: { account: LOGS, subject: "$JS.API.>" }, to: "logs.api.>" }
      { service: { account: LOGS, subject: "$JS.FC.>" } }
      { stream: { account: LOGS, subject: "_INBOX_edge.>" } }
    ]
  }
}
jetstream {}
`), 0o600))
	conf, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	srv := natstest.Start(t, configured(func(o *server.Options) { o.Users, o.Accounts = conf.Users, conf.Accounts }))
	as := func(user string) string { return strings.Replace(srv.URL(), "nats://", "nats://"+user+":x@", 1) }
	logs, err := nats.Connect(as("logs"), nats.Timeout(natstest.Patience))
	require.NoError(t, err)
	t.Cleanup(logs.Close)
	js, err := jetstream.New(logs)
	require.NoError(t, err)
	log := streamtest.NewLog(t, js)
	log.PublishN(20, "a")
	e := edgeOn(t, as("edge"), "JS_PREFIX", "logs.api", "NATS_INBOX_PREFIX", "_INBOX_edge", "CREATE_STREAM", "false", "RING_EVENTS", "4")
	e.WaitReady()
	c := e.open(streamtest.Query{Params: url.Values{"from": {"start"}}})
	c.System(t, "open")
	gets(t, c, log.Events)
	gets(t, c, []streamtest.Stored{log.Publish("a")})
}

// TestAMissingPermissionIsNamed: not that the stream is not there, or that nobody
// answers.
func TestAMissingPermissionIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		publish, subscribe []string
		settings           []string
		says               string
	}{
		"its inbox": {[]string{">"}, []string{"_INBOX_edge.>"}, nil, "set NATS_INBOX_PREFIX to what the user may subscribe to"},
		"the stream's state": {[]string{"$JS.API.CONSUMER.>"}, []string{">"}, []string{"CREATE_STREAM", "false"},
			`the NATS user has no permission for Publish to \"$JS.API.STREAM.INFO.EVENTS\"`},
		"consumers": {[]string{"$JS.API.STREAM.>"}, []string{">"}, []string{"CREATE_STREAM", "false"},
			`the NATS user has no permission for Publish to \"$JS.API.CONSUMER.CREATE.EVENTS.`},
	} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.Start(t, configured(func(o *server.Options) {
				o.Users = []*server.User{
					{Username: "operator", Password: "x"},
					{Username: "edge", Password: "x", Permissions: &server.Permissions{
						Publish: &server.SubjectPermission{Allow: tt.publish}, Subscribe: &server.SubjectPermission{Allow: tt.subscribe},
					}},
				}
			}))
			as := func(user string) string { return strings.Replace(srv.URL(), "nats://", "nats://"+user+":x@", 1) }
			edgeOn(t, as("operator")).WaitReady() // makes the stream
			e := edgeOn(t, as("edge"), tt.settings...)
			e.Eventually(func() bool { return strings.Contains(e.Do(http.MethodGet, "/readyz").Body, tt.says) })
			e.Eventually(func() bool {
				return strings.Contains(e.Stderr(), tt.says) || strings.Contains(e.Stderr(), "ermissions Violation")
			})
		})
	}
}
