package examples_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

var encoder = sse.NewEncoder("EVENTS", 10*time.Millisecond, 0)

func id(seq uint64) event.ID { return event.ID{Epoch: 1_755_000_000_123, Seq: seq} }

func appendEvents(b []byte, first, last uint64) []byte {
	for seq := first; seq <= last; seq++ {
		b, _ = encoder.Append(b, &wire.Message{ID: id(seq), Topic: "log.error", Data: []byte(id(seq).String()), Time: time.Now()})
	}
	return b
}

// edge plays the four connections that a client has to live through, and notes
// the cursor of each.
type edge struct {
	mu      sync.Mutex
	cursors []string
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("last_event_id")
	}
	e.cursors = append(e.cursors, cursor)
	connection := len(e.cursors)
	e.mu.Unlock()

	var b []byte
	switch connection {
	case 1: // cut in the middle of event 4
		b = encoder.AppendOpen(nil, id(0), wire.Open{Resumed: wire.ResumedComplete})
		whole := appendEvents(b, 1, 4)
		b = whole[:len(whole)-20]
	case 2:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case 3: // a heartbeat moves the cursor; then a drain
		b = encoder.AppendOpen(nil, id(3), wire.Open{Resumed: wire.ResumedComplete})
		b = sse.AppendComment(appendEvents(b, 4, 5))
		b = encoder.AppendHeartbeat(b, id(20), time.Now(), 3)
		b = encoder.AppendDrain(b, id(20), wire.ReasonShutdown, 5*time.Millisecond)
	default:
		first := id(31)
		b = encoder.AppendOpen(nil, id(30), wire.Open{Gap: &wire.Gap{Reason: wire.ReasonExpired, Requested: cursor, First: &first}})
		b = appendEvents(b, 31, 40)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = w.Write(b)
	_ = http.NewResponseController(w).Flush()
	if connection == 1 {
		panic(http.ErrAbortHandler)
	}
}

func buildGoClient(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "go_client")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // the first build of all takes long
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./go_client")
	build.WaitDelay = time.Second // for what the build has started
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	return binary
}

// runGoClient gives what the client prints; one that does not end within the
// test's patience is killed.
func runGoClient(t *testing.T, binary string, env []string, args ...string) (out, log string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, binary, args...)
	command.Env, command.WaitDelay = append(os.Environ(), env...), time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

func TestGoClientResumes(t *testing.T) {
	binary := buildGoClient(t)
	e := &edge{}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)

	out, log, err := runGoClient(t, binary, []string{"COUNT=8", "LAST_EVENT_ID=" + id(0).String()}, server.URL+"/stream", "log.>")
	require.NoError(t, err, log)

	var want []string
	for _, seq := range []uint64{1, 2, 3, 4, 5, 31, 32, 33} {
		want = append(want, id(seq).String()+" data "+id(seq).String())
	}
	assert.Equal(t, want, strings.Split(strings.TrimSpace(out), "\n"), "each event once, in order, whatever the cuts")
	assert.Equal(t, []string{id(0).String(), id(3).String(), id(3).String(), id(20).String()}, e.cursors)
	assert.Contains(t, log, "drain: ")
	assert.Contains(t, log, "GAP: expired")
	assert.Contains(t, log, "503")
}

func TestGoClientStopsWhereAskingAgainIsNoUse(t *testing.T) {
	binary := buildGoClient(t)
	var requests int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusUnauthorized)
	}))
	out, log, err := runGoClient(t, binary, nil, server.URL)
	server.Close()
	assert.Error(t, err)
	assert.Empty(t, out)
	assert.Contains(t, log, "401")
	assert.Equal(t, 1, requests)
}
