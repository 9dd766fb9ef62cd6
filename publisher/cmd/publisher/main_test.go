package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

const pollFor = 5 * time.Millisecond

// asCommand makes the test's binary the command itself.
const asCommand = "SLUICE_TEST_PUBLISHER_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	natstest.HearHangup()
	os.Exit(m.Run())
}

// result is what one run of the command left.
type result struct {
	code           int
	stdout, stderr string
}

func runWith(ctx context.Context, stdin io.Reader, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, os.LookupEnv, stdin, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// runJob runs the command against srv to its end.
func runJob(t *testing.T, srv *natstest.Server, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	return runWith(ctx, strings.NewReader(stdin), append(args, "--nats-url", srv.URL())...)
}

// summary is the only line on standard output.
func (r result) summary(t *testing.T) (s publisher.Summary) {
	t.Helper()
	require.Equal(t, 1, strings.Count(r.stdout, "\n"), "%q, and on standard error: %s", r.stdout, r.stderr)
	d := json.NewDecoder(strings.NewReader(r.stdout))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&s))
	return s
}

// logged are the payloads of the log, in its order.
func logged(t *testing.T, srv *natstest.Server) []string {
	t.Helper()
	var all []string
	for _, m := range natstest.Messages(t, srv.JetStream(t), event.DefaultStream) {
		all = append(all, string(m.Data()))
	}
	return all
}

func numbers(from, to int) (lines []string) {
	for n := from; n <= to; n++ {
		lines = append(lines, strconv.Itoa(n))
	}
	return lines
}

func TestStdinPublishesLinesAndPrintsTheSummary(t *testing.T) {
	natstest.CheckGoroutines(t)
	srv := natstest.Start(t)
	r := runJob(t, srv, "{\"a\":1}\n\n2\n", "stdin", "--topic", "log.app", "--type", "line")
	assert.Zero(t, r.code, r.stderr)
	s := r.summary(t)
	first, err := event.ParseID(s.FirstID)
	require.NoError(t, err)
	assert.Equal(t, uint64(1), first.Seq)
	assert.Equal(t, publisher.Summary{
		Published: 2, FirstID: s.FirstID, LastID: event.ID{Epoch: first.Epoch, Seq: 2}.String(),
	}, s)
	assert.Equal(t, []string{`{"a":1}`, "2"}, logged(t, srv))

	stream, err := srv.JetStream(t).Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	m, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, "events.log.app", m.Subject)
	assert.Equal(t, "line", m.Header.Get(event.HeaderType))
}

func TestRerunPublishesNothingTwice(t *testing.T) {
	for _, tt := range []struct {
		name, stdin string
		args        []string
		n           uint64
	}{
		{"of lines by job id", "1\n2\n3\n", []string{"stdin", "--topic", "a", "--job-id", "j1"}, 3},
		{"of lines by a field", `{"order":{"id":"x"}}` + "\n" + `{"order":{"id":7}}`, []string{"stdin", "--topic", "a", "--id-from", "order.id"}, 2},
		{"of the demo", "", []string{"demo", "--count", "50", "--rate", "0", "--job-id", "j1"}, 50},
		{"of the host's samples", "", []string{"host", "--job-id", "j1"}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := natstest.Start(t)
			first := runJob(t, srv, tt.stdin, tt.args...)
			require.Zero(t, first.code, first.stderr)
			one := first.summary(t)
			assert.Equal(t, tt.n, one.Published)
			again := runJob(t, srv, tt.stdin, tt.args...)
			require.Zero(t, again.code, again.stderr)
			assert.Equal(t, publisher.Summary{Duplicates: tt.n, FirstID: one.FirstID, LastID: one.LastID}, again.summary(t))
			assert.Len(t, logged(t, srv), int(tt.n))
		})
	}
	t.Run("of a job that failed publishes what is missing", func(t *testing.T) {
		srv := natstest.Start(t)
		args := []string{"stdin", "--topic", "a", "--job-id", "j1"}
		require.Equal(t, 1, runJob(t, srv, "1\noops\n3\n", args...).code)
		again := runJob(t, srv, "1\n2\n3\n", args...)
		require.Zero(t, again.code)
		s := again.summary(t)
		assert.Equal(t, uint64(1), s.Published)
		assert.Equal(t, uint64(2), s.Duplicates)
	})
}

func TestBadLinesAreReportedAndTheOthersPublished(t *testing.T) {
	srv := natstest.Start(t)
	long := `"` + strings.Repeat("x", 99) + `"`
	r := runJob(t, srv, "{\"id\":1}\n{\n"+long+"\n{\"id\":null}\n{\"id\":5}\n",
		"stdin", "--topic", "a", "--id-from", "id", "--max-event-bytes", "100")
	assert.Equal(t, 1, r.code)
	s := r.summary(t)
	assert.Equal(t, uint64(2), s.Published)
	assert.Equal(t, uint64(3), s.Failed)
	assert.Contains(t, r.stderr, "line 2: invalid event: the data is not one JSON value")
	assert.Contains(t, r.stderr, "line 3: invalid event: longer than MAX_EVENT_BYTES, 100")
	assert.Contains(t, r.stderr, "line 4: invalid event")
	assert.Equal(t, []string{`{"id":1}`, `{"id":5}`}, logged(t, srv))
}

func TestDemoAndHostEndByThemselves(t *testing.T) {
	srv := natstest.Start(t)
	r := runJob(t, srv, "", "demo", "--rate", "0")
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, uint64(100), r.summary(t).Published)

	r = runJob(t, srv, "", "host")
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, uint64(5), r.summary(t).Published)

	r = runJob(t, srv, "", "demo", "--duration", "1s", "--rate", "0")
	assert.Zero(t, r.code, r.stderr)
	assert.Greater(t, r.summary(t).Published, uint64(100), "the duration limits it, not the default count")

	kv, err := srv.JetStream(t).KeyValue(t.Context(), event.ProducersBucket)
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), "event_producer")
	require.NoError(t, err)
	assert.Contains(t, string(entry.Value()), `"state":"ok"`)
}

// started is a run of stdin whose input the test writes.
type started struct {
	in   *io.PipeWriter
	stop context.CancelFunc
	done chan result
}

func startStdin(t *testing.T, srv *natstest.Server, args ...string) *started {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	s := &started{in: w, stop: stop, done: make(chan result, 1)}
	go func() {
		s.done <- runWith(ctx, r, append([]string{"stdin", "--topic", "a", "--nats-url", srv.URL()}, args...)...)
	}()
	t.Cleanup(func() { stop(); w.Close() })
	return s
}

func (s *started) write(t *testing.T, lines []string) {
	t.Helper()
	late := time.AfterFunc(natstest.Patience, func() { s.in.CloseWithError(errors.New("the command does not read on")) })
	defer late.Stop()
	_, err := io.WriteString(s.in, strings.Join(lines, "\n")+"\n")
	require.NoError(t, err)
}

func (s *started) wait(t *testing.T) result {
	t.Helper()
	return receive(t, s.done, "the command does not end")
}

// receive is what comes from c; the test fails with late when nothing does.
func receive[T any](t *testing.T, c <-chan T, late string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(natstest.Patience):
		require.FailNow(t, late)
	}
	return v
}

func (s *started) eventually(t *testing.T, srv *natstest.Server, seq uint64) {
	t.Helper()
	js := srv.JetStream(t)
	require.Eventually(t, func() bool {
		stream, err := js.Stream(t.Context(), event.DefaultStream)
		return err == nil && stream.CachedInfo().State.LastSeq >= seq
	}, natstest.Patience, pollFor)
}

func TestStdinPublishesEachLineAsItArrives(t *testing.T) {
	srv := natstest.Start(t)
	s := startStdin(t, srv)
	for n := 1; n <= 3; n++ {
		s.write(t, numbers(n, n))
		s.eventually(t, srv, uint64(n)) // though standard input stays open
	}
	s.stop()
	r := s.wait(t)
	assert.Zero(t, r.code, "stopped with everything acknowledged: "+r.stderr)
	assert.Equal(t, uint64(3), r.summary(t).Published)
}

func TestRunKeepsEventsAndOrderThroughARestartOfNATS(t *testing.T) {
	srv := natstest.Start(t)
	// Room for all: it must not stop reading while the server is stopped.
	s := startStdin(t, srv, "--max-pending", "2000")
	at := 0
	more := func(n int) { s.write(t, numbers(at+1, at+n)); at += n }
	more(500)
	s.eventually(t, srv, 1)
	for range 3 {
		more(200)
		srv.Stop()
		more(200)
		srv.Restart()
		s.eventually(t, srv, uint64(at-200))
	}
	more(100)
	require.NoError(t, s.in.Close())
	r := s.wait(t)
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, uint64(at), r.summary(t).Published)
	assert.Zero(t, r.summary(t).Duplicates)
	assert.Equal(t, numbers(1, at), logged(t, srv))
}

func TestUnreachableNATSIsSaidWithItsSetting(t *testing.T) {
	srv := natstest.Start(t)
	url := srv.URL()
	srv.Stop()
	withSecret := strings.Replace(url, "nats://", "nats://me:secret@", 1)
	began := time.Now()
	r := runWith(t.Context(), nil, "demo", "--nats-url", withSecret, "--connect-timeout", "300ms")
	assert.Equal(t, 1, r.code)
	assert.Less(t, time.Since(began), 9*time.Second, "CONNECT_TIMEOUT is 10s by default")
	assert.Equal(t, publisher.Summary{}, r.summary(t))
	for _, say := range []string{"NATS_URL", "CONNECT_TIMEOUT", strings.TrimPrefix(url, "nats://"), "trying again"} {
		assert.Contains(t, r.stderr, say)
	}
	assert.NotContains(t, r.stderr, "secret")
	r = runWith(t.Context(), nil, "demo", "--nats-url", strings.Replace(url, "nats://", "nats://secret@", 1), "--connect-timeout", "300ms")
	assert.Equal(t, 1, r.code)
	assert.NotContains(t, r.stderr, "secret", "a user alone is a token")
}

func TestMalformedURLEndsTheRunAtOnce(t *testing.T) {
	r := runWith(t.Context(), nil, "demo", "--nats-url", "nats://me:secret@127.0.0.1:42x2", "--connect-timeout", "1m")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "NATS_URL")
	assert.NotContains(t, r.stderr, "secret")
	assert.NotContains(t, r.stderr, "trying again")
}

func TestRunWaitsForNATSToAppear(t *testing.T) {
	srv := natstest.Start(t)
	url := srv.URL()
	srv.Stop()
	done := make(chan result, 1)
	stderr := &watched{seen: make(chan struct{}, 1), text: "trying again"}
	go func() {
		var stdout bytes.Buffer
		code := run(t.Context(), []string{"demo", "--count", "3", "--nats-url", url}, os.LookupEnv, nil, &stdout, stderr)
		done <- result{code: code, stdout: stdout.String()}
	}()
	receive(t, stderr.seen, "it does not try again")
	srv.Restart()
	r := receive(t, done, "the command does not end")
	assert.Zero(t, r.code)
	assert.Equal(t, uint64(3), r.summary(t).Published)
}

// watched tells when a text was written.
type watched struct {
	seen chan struct{}
	text string
}

func (w *watched) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.text) {
		select {
		case w.seen <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

func TestWrongCredentialsEndTheRunAtOnce(t *testing.T) {
	srv := natstest.Start(t, func(o *natsembed.Options) {
		o.Configure = func(so *server.Options) { so.Username, so.Password = "me", "secret" }
	})
	began := time.Now()
	r := runJob(t, srv, "", "demo", "--connect-timeout", "1h")
	assert.Equal(t, 1, r.code)
	assert.Less(t, time.Since(began), natstest.Patience)
	assert.Contains(t, r.stderr, "NATS_CREDS")
	assert.Contains(t, strings.ToLower(r.stderr), strings.ToLower(nats.ErrAuthorization.Error()[len("nats: "):]))
}

func TestMissingStreamIsSaidWhenItMayNotBeCreated(t *testing.T) {
	srv := natstest.Start(t)
	r := runJob(t, srv, "", "demo", "--no-create-stream")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "CREATE_STREAM=true")
}

func TestStreamIsCreatedAsConfigured(t *testing.T) {
	srv := natstest.Start(t)
	r := runJob(t, srv, "", "demo", "--count", "1", "--stream-max-age", "2h", "--stream-max-bytes", "1000000", "--max-event-bytes", "1000")
	require.Zero(t, r.code, r.stderr)
	s, err := srv.JetStream(t).Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	assert.Equal(t, 2*time.Hour, cfg.MaxAge)
	assert.Equal(t, int64(1_000_000), cfg.MaxBytes)
	assert.Less(t, cfg.MaxMsgSize, int32(3000))
}
