package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// publishing starts an edge with the function publish.
func (r *rig) publishing(t *testing.T, settings ...string) *edge {
	t.Helper()
	return r.edge(t, append([]string{"FUNCTIONS", "stream,health,publish"}, settings...)...)
}

// published is what a request to publish got.
type published struct {
	Status                        int `json:"-"`
	Published, Duplicates, Failed uint64
	FirstID                       string `json:"first_id"`
	Error, Message                string
}

// publish sends a body. headers are name, value, name, value.
func (e *edge) publish(query string, body io.Reader, headers ...string) (p published) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(natstest.Context(e.t), http.MethodPost, e.URL()+"/publish"+query, body)
	require.NoError(e.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	var last string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		last = lines.Text()
	}
	require.NoError(e.t, json.Unmarshal([]byte(last), &p), last)
	p.Status = resp.StatusCode
	return p
}

func one() io.Reader { return strings.NewReader("1") }

// TestWhatIsPublishedIsStreamed with the id that its publisher was told, and its
// edge is a producer for all.
func TestWhatIsPublishedIsStreamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.publishing(t)
	client := e.live("order.created")
	p := e.publish("?topic=order.created", strings.NewReader(`{"order":17}`), "Event-Type", "made")
	require.EqualValues(t, 1, p.Published, p.Message)
	b := client.Event(t)
	assert.Equal(t, p.FirstID, b.ID)
	assert.Equal(t, "made", b.Type)
	assert.Equal(t, `{"order":17}`, b.Data)
	e.Eventually(func() bool {
		return strings.Contains(e.Do(http.MethodGet, "/health").Body, `"http": "running"`)
	})
	assert.Contains(t, e.Do(http.MethodGet, "/metrics").Body, "\npublish_events_total{result=\"published\"} 1\n")
	assert.Equal(t, http.StatusMethodNotAllowed, e.Do(http.MethodGet, "/publish").Status)
	assert.Contains(t, e.Do(http.MethodGet, "/").Body, `"publish": "/publish"`)
	assert.Equal(t, http.StatusNotFound, r.edge(t).Do(http.MethodPost, "/publish").Status, "it is off until FUNCTIONS names it")
}

// TestATokenPublishesWhatItMay: the topics of its grant, and with a cookie no page of
// another origin.
func TestATokenPublishesWhatItMay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.publishing(t, "AUTH", "jwt", "JWT_SECRET", secret, "AUTH_COOKIE", "session", "CORS_ORIGINS", "https://app.example")
	text := signed(t, claims("7", "sluice", map[string]any{"publish": []string{"orders.{sub}.>"}}))
	for _, tt := range []struct {
		topic   string
		headers []string
		status  int
		code    string
	}{
		{"orders.7.new", []string{"Authorization", "Bearer " + text}, 200, ""},
		{"orders.7.new", []string{"Authorization", "Bearer " + text, "Origin", "https://evil.example"}, 200, ""}, // it has the token
		{"orders.7.new", []string{"Cookie", "session=" + text}, 200, ""},
		{"orders.7.new", []string{"Cookie", "session=" + text, "Origin", "https://app.example"}, 200, ""},
		{"orders.7.new", []string{"Cookie", "session=" + text, "Origin", "https://evil.example"}, 403, "cross_site"},
		{"orders.8.new", []string{"Authorization", "Bearer " + text}, 403, "topic_forbidden"},
		{"orders.7.new", nil, 401, "token_missing"},
	} {
		p := e.publish("?topic="+tt.topic, one(), tt.headers...)
		assert.Equal(t, tt.status, p.Status, "%v %s", tt.headers, p.Message)
		assert.Equal(t, tt.code, p.Error)
	}
	assert.Len(t, streamtest.ReadStream(t, r.log.JS), 4)
}

// TestManyLinesTakeLittleMemory: what comes is published and told, and not kept.
func TestManyLinesTakeLittleMemory(t *testing.T) {
	r := newRig(t)
	e := r.publishing(t, "MAX_PUBLISH_RATE", "0", "RING_EVENTS", "100")
	send := func(n int) {
		body, in := io.Pipe()
		go func() { // ends with the request
			out := bufio.NewWriter(in)
			for i := range n {
				fmt.Fprintf(out, "{\"n\":%d,\"text\":\"%s\"}\n", i, strings.Repeat("x", 10_000))
			}
			_ = out.Flush()
			_ = in.Close()
		}()
		p := e.publish("?topic=a", body, "Content-Type", "application/x-ndjson")
		require.EqualValues(t, n, p.Published, p.Message)
	}
	send(1_000)
	before := e.RSS()
	send(6_000) // 60 MB
	assert.Less(t, e.RSS(), before+40<<20)
}

func testPublishOpen(t *testing.T) {
	r := newRig(t)
	through := []string{"X-Forwarded-For", "192.0.2.1"} // as a proxy on this machine says
	closed := r.publishing(t, "PUBLISH_OPEN", "false").publish("?topic=a", one(), through...)
	assert.Equal(t, http.StatusForbidden, closed.Status)
	assert.Equal(t, "publish_closed", closed.Error)
	assert.Equal(t, http.StatusOK, r.publishing(t, "PUBLISH_OPEN", "true").publish("?topic=a", one(), through...).Status)
}

func testMaxPublishWait(t *testing.T) {
	r := newRig(t)
	e := r.publishing(t, "MAX_PUBLISH_WAIT", "1s")
	require.Equal(t, http.StatusOK, e.publish("?topic=a", one()).Status)
	r.nats.Stop()
	cmdtest.Within(t, natstest.Patience/2, func() {
		p := e.publish("?topic=a", one())
		assert.Equal(t, http.StatusServiceUnavailable, p.Status)
		assert.Equal(t, "log_unavailable", p.Error)
	})
}

func testMaxBodyBytes(t *testing.T) {
	e := newRig(t).publishing(t, "MAX_BODY_BYTES", "10")
	assert.Equal(t, http.StatusOK, e.publish("?topic=a", strings.NewReader("1234567890")).Status)
	p := e.publish("?topic=a", strings.NewReader("12345678901"))
	assert.Equal(t, http.StatusRequestEntityTooLarge, p.Status)
	assert.Contains(t, p.Message, "MAX_BODY_BYTES")
}

func testMaxPublishRate(t *testing.T) {
	e := newRig(t).publishing(t, "MAX_PUBLISH_RATE", "1")
	for p := e.publish("?topic=a", one()); p.Status != http.StatusTooManyRequests; p = e.publish("?topic=a", one()) {
		require.Equal(t, http.StatusOK, p.Status, p.Message)
	}
}

// testWebhook has one that is signed with the secret come to its topic.
func testWebhook(t *testing.T) {
	const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	r := newRig(t)
	e := r.publishing(t, "WEBHOOK_SECRET", whsec, "WEBHOOK_TOPIC", "hook.in", "AUTH", "jwt", "JWT_SECRET", secret)
	signer, err := webhooks.NewWebhook(whsec)
	require.NoError(t, err)
	now := time.Now()
	sign, err := signer.Sign("msg_1", now, []byte("1"))
	require.NoError(t, err)
	headers := []string{"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(now.Unix()), "webhook-signature", sign}
	require.Equal(t, http.StatusOK, e.publish("", one(), headers...).Status)
	assert.Equal(t, "signature_invalid", e.publish("", strings.NewReader("2"), headers...).Error)
	stored := streamtest.ReadStream(t, r.log.JS)
	require.Len(t, stored, 1)
	assert.Equal(t, "hook.in", stored[0].Topic)
}
