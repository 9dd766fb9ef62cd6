package publish_test

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

	"sluice/functions/access/limit"
	"sluice/functions/publish"
	"sluice/natsembed/natstest"
)

const (
	asJSON  = "application/json"
	asLines = "application/x-ndjson"
	asCloud = "application/cloudevents+json"
	asBatch = "application/cloudevents-batch+json"
	ceOne   = `{"specversion":"1.0","id":"7","source":"/shop","type":"com.example/order","subject":"orders/eu:7","data":{"n":1}}`
	ceTwo   = `{"specversion":"1.0","id":"8","source":"/shop","type":"order.paid","datacontenttype":"application/json"}`
	binary  = "ce-specversion"
)

// TestEachFormIsStored and answered with the ids that the log gave.
func TestEachFormIsStored(t *testing.T) {
	for _, tt := range []struct {
		name, query, body string
		headers           []string
		want              []stored // without their ids
	}{
		{"JSON", "?topic=a.b", " {\"n\":1}\n", []string{"Content-Type", asJSON}, []stored{{"", "a.b", "", `{"n":1}`}}},
		{"what curl -d says", "?topic=a", `1`, []string{"Content-Type", "application/x-www-form-urlencoded"}, []stored{{"", "a", "", "1"}}},
		{"JSON without a word", "?topic=a", `"x"`, nil, []stored{{"", "a", "", `"x"`}}},
		{"JSON of some kind", "?topic=a", `[]`, []string{"Content-Type", "application/vnd.x+json; charset=utf-8"}, []stored{{"", "a", "", "[]"}}},
		{"a type", "?topic=a", `1`, []string{"Event-Type", "order.created"}, []stored{{"", "a", "order.created", "1"}}},
		{"lines", "?topic=a", "\ufeff1\n\n {\"n\":2} \r\n3", []string{"Content-Type", asLines, "Event-Type", "x"},
			[]stored{{"", "a", "x", "1"}, {"", "a", "x", `{"n":2}`}, {"", "a", "x", "3"}}},
		{"a CloudEvent", "", ceOne, []string{"Content-Type", asCloud}, []stored{{"", "orders.eu.7", "com.example_order", `{"n":1}`}}},
		{"a CloudEvent with a topic", "?topic=a", ceOne, []string{"Content-Type", asCloud + "; charset=utf-8"}, []stored{{"", "a", "com.example_order", `{"n":1}`}}},
		{"a CloudEvent in headers", "", `{"n":1}`, []string{binary, "1.0", "ce-id", "1", "ce-source", "//eventarc", "ce-type", "google.cloud.storage.object.v1.finalized",
			"ce-subject", "objects/my file.txt", "Content-Type", asJSON}, []stored{{"", "objects.my_file.txt", "google.cloud.storage.object.v1.finalized", `{"n":1}`}}},
		{"a batch of CloudEvents", "", "[" + ceOne + "," + ceTwo + "]", []string{"Content-Type", asBatch},
			[]stored{{"", "orders.eu.7", "com.example_order", `{"n":1}`}, {"", "order.paid", "order.paid", "null"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, _ := onServer(t)
			a := r.post(tt.query, tt.body, tt.headers...)
			require.Equal(t, http.StatusOK, a.Status, a.Body)
			log := r.log()
			require.Len(t, log, len(tt.want))
			assert.Equal(t, log[0].ID, a.FirstID)
			assert.Equal(t, log[len(log)-1].ID, a.LastID)
			assert.EqualValues(t, len(log), a.Published)
			assert.Zero(t, a.Duplicates+a.Failed)
			for i := range log {
				log[i].ID = ""
			}
			assert.Equal(t, tt.want, log)
		})
	}
}

// TestWhatIsRefusedIsNotStored, nor is anything that came with it.
func TestWhatIsRefusedIsNotStored(t *testing.T) {
	r, _ := onServer(t, func(r *rig) { r.config.MaxEventBytes, r.config.MaxBodyBytes = 100, 1000 })
	require.Equal(t, http.StatusOK, r.post("?topic=a", "1").Status)
	long := `"` + strings.Repeat("x", 200) + `"`
	for _, tt := range []struct {
		name, query, body string
		headers           []string
		status            int
		code, says        string
	}{
		{"no topic", "", "1", nil, 400, "bad_topic", "/publish?topic="},
		{"a wildcard", "?topic=a.*", "1", nil, 400, "bad_topic", "a.*"},
		{"two topics", "?topic=a&topic=b", "1", nil, 400, "bad_query", "one topic"},
		{"a parameter that is none", "?topic=a&typ=x", "1", nil, 400, "bad_query", "nothing else"},
		{"no JSON", "?topic=a", "{", nil, 400, "bad_event", "JSON"},
		{"nothing", "?topic=a", "", nil, 400, "bad_event", "JSON"},
		{"two values", "?topic=a", "1 2", nil, 400, "bad_event", "JSON"},
		{"what is not UTF-8", "?topic=a", "\"\xff\"", nil, 400, "bad_event", "UTF-8"},
		{"a reserved type", "?topic=a", "1", []string{"Event-Type", "heartbeat"}, 400, "bad_type", "reserved"},
		{"a large event", "?topic=a", long, nil, 413, "too_large", "MAX_EVENT_BYTES allows 100"},
		{"a large body", "?topic=a", strings.Repeat(" ", 2000), nil, 413, "too_large", "MAX_BODY_BYTES"},
		{"a form", "?topic=a", "1", []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", "application/json"},
		{"a key that is none", "?topic=a", "1", []string{"Idempotency-Key", ""}, 400, "bad_idempotency_key", "Idempotency-Key"},
		{"a page of another origin", "?topic=a", "1", []string{"Origin", "https://evil.example"}, 403, "cross_site", "CORS_ORIGINS"},
		{"a page of a sandbox, with what it takes for a token", "?topic=a", "1", []string{"Origin", "null", "Authorization", "Bearer x"}, 403, "cross_site", "CORS_ORIGINS"},
		{"a page of another site", "?topic=a", "1", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_site", "CORS_ORIGINS"},
		{"first line no JSON", "?topic=a", "nope\n1\n", []string{"Content-Type", asLines}, 400, "bad_event", "line 1"},
		{"no CloudEvent", "", "{}", []string{"Content-Type", asCloud}, 400, "bad_body", "CloudEvents"},
		{"a CloudEvent without a type", "", strings.Replace(ceOne, "com.example/order", "", 1), []string{"Content-Type", asCloud}, 400, "bad_event", "type"},
		{"no events", "", "[]", []string{"Content-Type", asBatch}, 400, "bad_body", "no event"},
		{"a batch whose second is bad", "", "[" + ceOne + "," + strings.Replace(ceTwo, "order.paid", "", 1) + "]", []string{"Content-Type", asBatch}, 400, "bad_event", "event 2 of 2"},
		{"a batch whose second is large", "?topic=a", "[" + ceOne + "," + strings.Replace(ceOne, `{"n":1}`, long, 1) + "]", []string{"Content-Type", asBatch}, 413, "too_large", "event 2 of 2"},
		{"a subject that is too long", "", strings.Replace(ceOne, "eu:7", strings.Repeat("x", 65), 1), []string{"Content-Type", asCloud}, 400, "bad_topic", "topic="},
		{"data that is no JSON", "?topic=a", "<x/>", []string{binary, "1.0", "ce-id", "1", "ce-source", "/x", "ce-type", "x", "Content-Type", "application/xml"}, 415, "unsupported_media_type", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := r.post(tt.query, tt.body, tt.headers...)
			assert.Equal(t, tt.status, a.Status, a.Body)
			assert.Equal(t, tt.code, a.Error)
			assert.Contains(t, a.Message, tt.says)
			assert.Len(t, r.log(), 1)
		})
	}
}

// TestARepeatedRequestStoresNothingTwice, and says so with the ids of the first.
func TestARepeatedRequestStoresNothingTwice(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		headers    []string
		n          int
	}{
		{"JSON", "1", []string{"Idempotency-Key", "k"}, 1},
		{"lines, of which two are the same", "1\n1\n2\n", []string{"Idempotency-Key", `"8e03978e"`, "Content-Type", asLines}, 3},
		{"a CloudEvent", ceOne, []string{"Content-Type", asCloud}, 1},
		{"CloudEvents", "[" + ceOne + "," + ceTwo + "]", []string{"Content-Type", asBatch}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, _ := onServer(t)
			first := r.post("?topic=a", tt.body, tt.headers...)
			again := r.post("?topic=a", tt.body, tt.headers...)
			require.Equal(t, http.StatusOK, again.Status, again.Body)
			assert.EqualValues(t, tt.n, first.Published)
			assert.EqualValues(t, tt.n, again.Duplicates)
			assert.Zero(t, again.Published)
			assert.Equal(t, first.FirstID, again.FirstID)
			assert.Equal(t, first.LastID, again.LastID)
			assert.Len(t, r.log(), tt.n)
			r.post("?topic=b", tt.body, tt.headers...)
			assert.Len(t, r.log(), 2*tt.n, "another topic is another event")
		})
	}
}

// TestAKeyIsForOneContent: what else is sent under it is another event, and not lost.
func TestAKeyIsForOneContent(t *testing.T) {
	r, _ := onServer(t)
	for _, body := range []string{"1", "2"} {
		require.EqualValues(t, 1, r.post("?topic=a", body, "Idempotency-Key", "k").Published)
	}
	require.EqualValues(t, 1, r.post("?topic=a", "1").Published, "without a key each is another one")
}

// exchange is a request of lines that is under way.
type exchange struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Reader
	resp *http.Response
}

// open begins a request of lines with its first one.
func (r *rig) open(first string, headers ...string) *exchange {
	r.t.Helper()
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(natstest.Context(r.t), http.MethodPost, r.url+"/publish?topic=a", body)
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", asLines)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	go func() { _, _ = io.WriteString(in, first) }() // ends when it is read, or with the request
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = in.Close(); _ = resp.Body.Close() })
	return &exchange{r.t, in, bufio.NewReader(resp.Body), resp}
}

func (x *exchange) send(text string) {
	x.t.Helper()
	_, err := io.WriteString(x.in, text)
	require.NoError(x.t, err)
}

// told is one line of a response to lines.
type told struct {
	Line                          uint64
	ID                            string
	Duplicate                     bool
	Error, Message                string
	Published, Duplicates, Failed uint64
}

func (x *exchange) next() (l told) {
	x.t.Helper()
	text, err := x.out.ReadBytes('\n')
	require.NoError(x.t, err)
	require.NoError(x.t, json.Unmarshal(text, &l))
	return l
}

// TestLinesAreToldAsTheyCome: each before the next one is sent.
func TestLinesAreToldAsTheyCome(t *testing.T) {
	r, _ := onServer(t)
	x := r.open("0\n")
	for i := range 20 {
		if i == 7 {
			x.send("nope\n")
			l := x.next()
			assert.EqualValues(t, i+1, l.Line)
			assert.Equal(t, "bad_event", l.Error)
			continue
		}
		if i > 0 {
			x.send(fmt.Sprintln(i))
		}
		l := x.next()
		assert.EqualValues(t, i+1, l.Line)
		log := r.log()
		assert.Equal(t, log[len(log)-1].ID, l.ID)
		assert.Equal(t, fmt.Sprint(i), log[len(log)-1].Data)
	}
	require.NoError(t, x.in.Close())
	l := x.next()
	assert.EqualValues(t, 19, l.Published)
	assert.EqualValues(t, 1, l.Failed)
	_, err := x.out.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// TestADrainEndsLines after those that have come, and says so.
func TestADrainEndsLines(t *testing.T) {
	r, _ := onServer(t)
	x := r.open("1\n")
	require.NotEmpty(t, x.next().ID)
	r.handler.Drain()
	l := x.next()
	assert.EqualValues(t, 1, l.Published)
	assert.Equal(t, "draining", l.Error)
	a := r.post("?topic=a", "1")
	assert.Equal(t, http.StatusServiceUnavailable, a.Status)
	assert.Equal(t, "draining", a.Error)
	assert.NotEmpty(t, a.Header.Get("Retry-After"))
}

// TestAnOutageIsSaid when the log does not acknowledge in time, and is over with it.
func TestAnOutageIsSaid(t *testing.T) {
	r, s := onServer(t, func(r *rig) { r.opts.Timeout, r.config.Timeout = time.Second, time.Second })
	require.Equal(t, http.StatusOK, r.post("?topic=a", "1").Status)
	s.Stop()
	for _, media := range []string{asJSON, asLines} {
		a := r.post("?topic=a", "2", "Idempotency-Key", "k", "Content-Type", media)
		assert.Zero(t, a.Published+a.Duplicates)
		assert.Equal(t, "log_unavailable", a.Error, a.Body)
		if media == asJSON {
			assert.EqualValues(t, 1, a.Failed)
			assert.Equal(t, http.StatusServiceUnavailable, a.Status)
			assert.NotEmpty(t, a.Header.Get("Retry-After"))
		}
	}
	s.Restart()
	require.Eventually(t, func() bool {
		return r.post("?topic=a", "2", "Idempotency-Key", "k").Status == http.StatusOK
	}, natstest.Patience, 10*time.Millisecond)
	log := r.log()
	assert.Len(t, log, 2)
	assert.Equal(t, "2", log[1].Data)
}

// TestARateIsForOneClient: one request at once has to wait, lines are read no faster.
func TestARateIsForOneClient(t *testing.T) {
	const perSecond = 20
	r, _ := onServer(t, func(r *rig) { r.gate.Limits = limit.Config{Publishes: perSecond} })
	began := time.Now()
	const lines = 10*perSecond + perSecond/2 // ten seconds' worth come at once
	a := r.post("?topic=a", strings.Repeat("1\n", lines), "Content-Type", asLines)
	require.EqualValues(t, lines, a.Published, a.Body)
	assert.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond)
	require.Eventually(t, func() bool {
		a := r.post("?topic=a", "1")
		return a.Status == http.StatusTooManyRequests && a.Error == "too_many_events" && a.Header.Get("Retry-After") != ""
	}, natstest.Patience, time.Millisecond)
}

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestSignedWebhooksAreStored once, under their own topic; others are refused.
func TestSignedWebhooksAreStored(t *testing.T) {
	r, _ := onServer(t, func(r *rig) { r.config.WebhookSecret, r.config.WebhookTopic = whsec, "hook.in" })
	signer, err := webhooks.NewWebhook(whsec)
	require.NoError(t, err)
	const body = `{"type":"user.created"}`
	send := func(id string, at time.Time, sent string) answer {
		sign, err := signer.Sign(id, at, []byte(body))
		require.NoError(t, err)
		return r.post("", sent, "webhook-id", id, "webhook-timestamp", fmt.Sprint(at.Unix()), "webhook-signature", sign)
	}
	now := time.Now()
	assert.EqualValues(t, 1, send("msg_1", now, body).Published)
	assert.EqualValues(t, 1, send("msg_1", now, body).Duplicates)
	assert.EqualValues(t, 1, send("msg_2", now, body).Published)
	for _, bad := range []answer{send("msg_3", now, `{"type":"admin"}`), send("msg_3", now.Add(-time.Hour), body)} {
		assert.Equal(t, http.StatusUnauthorized, bad.Status)
		assert.Equal(t, "signature_invalid", bad.Error)
	}
	log := r.log()
	require.Len(t, log, 2)
	assert.Equal(t, "hook.in", log[0].Topic)
	for _, secret := range []string{"whsec_", "whsec_!!", "whsec_c2hvcnQ="} {
		_, err := publish.NewWebhook(secret)
		assert.ErrorContains(t, err, "Standard Webhooks", secret)
	}
}
