package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// testNatsURL has a server that is down, too.
func testNatsURL(t *testing.T) {
	down, server := natstest.Start(t), natstest.Start(t)
	url := down.URL() + "," + server.URL()
	down.Stop()
	edgeOn(t, url).WaitReady()
	_, err := server.JetStream(t).Stream(t.Context(), event.DefaultStream)
	assert.NoError(t, err)
}

// Of a user that no server knows.
const (
	userJWT  = "eyJ0eXAiOiJKV1QifQ.e30.c2lnbmF0dXJl"
	userSeed = "SUAMDD7U2VRT74GWV2MR3DYQDUQTO5AR5SLA3PIUOKEBQMSJ7TKJ2JLJ2Y"
)

// testNatsCreds plays a server's first words: it asks the client to sign in.
func testNatsCreds(t *testing.T) {
	creds := filepath.Join(t.TempDir(), "user.creds")
	require.NoError(t, os.WriteFile(creds, fmt.Appendf(nil,
		"-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n",
		userJWT, userSeed), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(natstest.Patience)))
	edgeOn(t, "nats://"+l.Addr().String(), "NATS_CREDS", creds)

	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(natstest.Patience)))
	_, err = conn.Write([]byte(`INFO {"server_id":"S","version":"2.11.0","proto":1,"headers":true,"max_payload":1048576,"auth_required":true,"nonce":"bm9uY2U"}` + "\r\n"))
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	options, ok := strings.CutPrefix(line, "CONNECT ")
	require.True(t, ok, line)
	var said struct{ JWT, Sig string }
	require.NoError(t, json.Unmarshal([]byte(options), &said))
	assert.Equal(t, userJWT, said.JWT)
	assert.NotEmpty(t, said.Sig)
}

// testNatsInboxPrefix looks at all that the edge asks until it is ready.
func testNatsInboxPrefix(t *testing.T) {
	r := newRig(t)
	conn := r.nats.Connect(t)
	asked, err := conn.SubscribeSync("$JS.API.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	r.edge(t, "NATS_INBOX_PREFIX", "_INBOX_mine")
	require.NoError(t, conn.Flush())
	waiting, _, err := asked.Pending()
	require.NoError(t, err)
	require.Positive(t, waiting)
	for range waiting {
		m, err := asked.NextMsg(natstest.Patience)
		require.NoError(t, err)
		assert.Regexp(t, `^_INBOX_mine\.`, m.Reply, m.Subject)
	}
}
