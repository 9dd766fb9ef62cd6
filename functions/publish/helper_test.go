package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/publish"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

func TestMain(m *testing.M) { os.Exit(natstest.RunAll(m)) }

// rig is the function publish before a log.
type rig struct {
	t       *testing.T
	url     string
	js      jetstream.JetStream
	handler *publish.Handler
	config  publish.Config
	gate    access.Config
	opts    publisher.Options
}

// onServer has the rig's own NATS server.
func onServer(t *testing.T, change ...func(*rig)) (*rig, *natstest.Server) {
	t.Helper()
	s := natstest.Start(t)
	return newRig(t, s.URL(), s.JetStream(t), 1, change...), s
}

func newRig(t *testing.T, url string, js jetstream.JetStream, replicas int, change ...func(*rig)) *rig {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &rig{t: t, js: js}
	r.opts = publisher.Options{Create: true, Limits: event.StreamLimits{Replicas: replicas}, Timeout: natstest.Patience, Name: "http-test", Logger: logger}
	r.config = publish.Config{MaxEventBytes: event.DefaultMaxBytes, MaxBodyBytes: 1 << 20, Timeout: natstest.Patience, StallTimeout: natstest.Patience, Logger: logger}
	for _, c := range change {
		c(r)
	}
	connect := func() (*nats.Conn, error) {
		return nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
			nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	}
	r.config.Registry = prometheus.NewRegistry()
	r.config.Gate = access.NewGate(r.gate)
	r.config.Sink = publish.NewSink(publish.SinkConfig{Connect: connect, Options: r.opts, Logger: logger})
	var err error
	r.handler, err = publish.New(r.config)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.config.Sink.Run(ctx) })
	router := httprouter.New()
	router.Handler(http.MethodPost, "/publish", r.handler)
	server := httptest.NewServer(router)
	r.url = server.URL
	t.Cleanup(func() { server.Close(); stop(); running.Wait() })
	return r
}

// answer is what a request got.
type answer struct {
	Status                        int
	Header                        http.Header
	Body                          string
	Published, Duplicates, Failed uint64
	FirstID                       string `json:"first_id"`
	LastID                        string `json:"last_id"`
	Error, Message                string
}

// post publishes. headers are name, value, name, value.
func (r *rig) post(query, body string, headers ...string) answer {
	r.t.Helper()
	return r.send(query, strings.NewReader(body), headers...)
}

func (r *rig) send(query string, body io.Reader, headers ...string) (a answer) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(natstest.Context(r.t), http.MethodPost, r.url+"/publish"+query, body)
	require.NoError(r.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header[http.CanonicalHeaderKey(headers[i])] = []string{headers[i+1]}
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	a.Status, a.Header, a.Body = resp.StatusCode, resp.Header, string(text)
	last := text[bytes.LastIndexByte(bytes.TrimSpace(text), '\n')+1:]
	require.NoError(r.t, json.Unmarshal(last, &a), "%s", text)
	return a
}

// stored is an event as the log has it.
type stored struct{ ID, Topic, Type, Data string }

// log is all that JetStream holds, read past Sluice.
func (r *rig) log() (all []stored) {
	r.t.Helper()
	s, err := r.js.Stream(natstest.Context(r.t), event.DefaultStream)
	require.NoError(r.t, err)
	epoch, err := event.Epoch(s.CachedInfo())
	require.NoError(r.t, err)
	var messages []jetstream.Msg
	require.Eventually(r.t, func() bool { // a consumer may be at a server that is behind
		messages = natstest.Messages(r.t, r.js, event.DefaultStream)
		return len(messages) >= int(s.CachedInfo().State.Msgs)
	}, natstest.Patience, 10*time.Millisecond)
	for _, m := range messages {
		meta, err := m.Metadata()
		require.NoError(r.t, err)
		topic, _ := event.Topic(m.Subject())
		id := event.ID{Epoch: epoch, Seq: meta.Sequence.Stream}
		all = append(all, stored{id.String(), topic, m.Headers().Get(event.HeaderType), string(m.Data())})
	}
	return all
}
