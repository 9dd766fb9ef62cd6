package main

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// start starts local on free ports with an empty store.
func start(t *testing.T, env map[string]string) *cmdtest.Process {
	t.Helper()
	return cmdtest.Start(t, run, onFreePorts(t, env))
}

// onFreePorts is env with what keeps local from the ports and the files of
// others, unless it has that.
func onFreePorts(t *testing.T, env map[string]string) map[string]string {
	t.Helper()
	vars := map[string]string{"NATS_PORT": "-1", "STORE_DIR": t.TempDir()}
	maps.Copy(vars, env)
	return vars
}

var id = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8000-8000-[0-9a-f]{12}$`)

func TestLocalShowsDemoEventsAndPrintsWhatToOpen(t *testing.T) {
	natstest.CheckGoroutines(t)
	p := start(t, nil)
	p.WaitReady()
	client := p.Open("/stream", false)
	assert.Equal(t, "text/event-stream", client.Answer.Header.Get("Content-Type"))
	opened, ok := client.Next()
	require.True(t, ok)
	assert.Equal(t, "system", opened.Event)
	for range 3 {
		block, ok := client.Next()
		require.True(t, ok)
		assert.Regexp(t, id, block.ID)
		assert.Equal(t, "data", block.Event)
		assert.Equal(t, "5000", block.Retry)
		assert.True(t, json.Valid([]byte(block.Data)), block.Data)
	}
	for _, path := range []string{"/stream", "/console", "/health", "/metrics"} {
		assert.Contains(t, p.Stdout(), p.URL()+path+"\n")
	}
	assert.Regexp(t, `nats://127\.0\.0\.1:\d+\n`, p.Stdout())

	var root struct {
		Status    string
		Clients   int
		Endpoints map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(p.Do(http.MethodGet, "/").Body), &root))
	assert.Equal(t, "running", root.Status)
	assert.Equal(t, 1, root.Clients)
	assert.Equal(t, "/stream", root.Endpoints["stream"])
	var health struct{ Producers map[string]string }
	p.Eventually(func() bool {
		require.NoError(t, json.Unmarshal([]byte(p.Do(http.MethodGet, "/health").Body), &health))
		return health.Producers["event_producer"] == "running"
	})
	assert.Equal(t, "running", health.Producers["heartbeat_producer"])
	assert.Contains(t, p.Do(http.MethodGet, "/health").Body, `"event_producer": "running"`)
	assert.Contains(t, p.Do(http.MethodGet, "/console").Body, "<html")
	assert.Contains(t, p.Do(http.MethodGet, "/metrics").Body, `sse_connected_clients{way="direct"} 1`)

	require.NoError(t, p.Stop())
	for block, ok := client.Next(); ok; block, ok = client.Next() {
		opened = block
	}
	assert.NoError(t, client.Err())
	assert.Contains(t, opened.Data, `"drain"`, "the last block")
}

func TestTheLogOutlivesTheProcess(t *testing.T) {
	store := t.TempDir()
	p := start(t, map[string]string{"STORE_DIR": store})
	p.WaitReady()
	client := p.Open("/stream", false)
	_, _ = client.Next()
	first, ok := client.Next()
	require.True(t, ok)
	second, ok := client.Next()
	require.True(t, ok)
	require.NoError(t, p.Stop())

	p = start(t, map[string]string{"STORE_DIR": store, "DEMO": "false"})
	p.WaitReady()
	client = p.Open("/stream?last_event_id="+first.ID, false)
	opened, _ := client.Next()
	assert.Contains(t, opened.Data, `"complete"`)
	again, ok := client.Next()
	require.True(t, ok)
	assert.Equal(t, second, again)
}

func TestDemoCanBeStopped(t *testing.T) {
	p := start(t, map[string]string{"DEMO": "false"})
	p.WaitReady()
	assert.Contains(t, p.Do(http.MethodGet, "/health").Body, `"event_producer": "missing"`)
	require.NoError(t, p.Stop())
	assert.NotContains(t, p.Stderr(), `"part":"demo"`)
}

func TestWhatIsInUseIsNamed(t *testing.T) {
	natstest.CheckGoroutines(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, taken, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	store := t.TempDir()
	start(t, map[string]string{"STORE_DIR": store}).WaitReady()
	for _, tc := range []struct{ name, setting, value string }{
		{"the HTTP port", "PORT", taken},
		{"the NATS port", "NATS_PORT", taken},
		{"the metrics port", "METRICS_ADDR", "127.0.0.1:" + taken},
		{"the store", "STORE_DIR", store},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := start(t, map[string]string{tc.setting: tc.value}).Wait()
			require.ErrorContains(t, err, tc.setting)
			assert.ErrorContains(t, err, tc.value)
		})
	}
}

func TestMetricsOnTheirOwnListener(t *testing.T) {
	p := start(t, map[string]string{"METRICS_ADDR": "127.0.0.1:0"})
	p.WaitReady()
	assert.Equal(t, http.StatusNotFound, p.Do(http.MethodGet, "/metrics").Status)
	metrics := "http://" + p.Logged("listening for metrics")["addr"].(string)
	answer := cmdtest.Do(t, http.MethodGet, metrics+"/metrics")
	assert.Equal(t, http.StatusOK, answer.Status)
	for _, name := range []string{"sse_connected_clients", "sse_nats_connected 1", "go_goroutines", "go_build_info"} {
		assert.Contains(t, answer.Body, name)
	}
	assert.Equal(t, http.StatusNotFound, cmdtest.Do(t, http.MethodGet, metrics+"/stream").Status)
}

// TestCurlPublishes: as the banner says, and the event comes with the id that is
// printed.
func TestCurlPublishes(t *testing.T) {
	p := execute(t, map[string]string{"DEMO": "false"})
	p.WaitReady()
	client := streamtest.Open(t, p.URL(), streamtest.Query{Topics: []string{"order.*"}})
	client.System(t, "open")
	p.Eventually(func() bool { return strings.Contains(p.Stdout(), "curl -d") })
	command := regexp.MustCompile(`curl -d .*`).FindString(p.Stdout())
	out, err := exec.CommandContext(natstest.Context(t), "sh", "-c", strings.Replace(command, "curl", "curl -s", 1)).Output()
	require.NoError(t, err)
	var said struct {
		Published int
		ID        string `json:"last_id"`
	}
	require.NoError(t, json.Unmarshal(out, &said), "%s", out)
	assert.Equal(t, 1, said.Published)
	b := client.Event(t)
	assert.Equal(t, said.ID, b.ID)
	assert.JSONEq(t, `{"order":17}`, b.Data)
}

// TestShutdown is SIGTERM with open streams, HTTP/1.1 and HTTP/2: each client
// is told to come back and ends well, and who comes meanwhile is too.
func TestShutdown(t *testing.T) {
	natstest.CheckGoroutines(t)
	const clients = 500
	p := start(t, map[string]string{"DRAIN_TIMEOUT": "8s", "HEARTBEAT_INTERVAL": "100ms"})
	p.WaitReady()
	var ended sync.WaitGroup
	for i := range clients {
		client := p.Open("/stream", i%2 == 1)
		_, ok := client.Next()
		require.True(t, ok)
		ended.Go(func() {
			var last cmdtest.Block
			for block, ok := client.Next(); ok; block, ok = client.Next() {
				last = block
			}
			assert.NoError(t, client.Err(), "the answer ends well")
			assert.Contains(t, last.Data, `"drain"`)
			assert.Contains(t, last.Data, `"shutdown"`)
			assert.NotEqual(t, "5000", last.Retry, "its own reconnection time")
		})
	}
	base := p.URL()
	cmdtest.Within(t, natstest.Patience, func() {
		p.Terminate()
		p.WaitNotReady()
		late := cmdtest.Do(t, http.MethodGet, base+"/stream")
		assert.Equal(t, http.StatusOK, late.Status, "anything else ends an EventSource for good")
		assert.Equal(t, 1, strings.Count(late.Body, "\n\n"))
		assert.Contains(t, late.Body, `"drain"`)
		ended.Wait()
		require.NoError(t, p.Wait())
	})
	_, err := http.Get(base + "/livez")
	assert.Error(t, err, "the listener is closed")
}

// TestLocalEndsWithItsClients: nobody waits for a laptop's load balancer.
func TestLocalEndsWithItsClients(t *testing.T) {
	p := start(t, map[string]string{"DRAIN_TIMEOUT": "1h"})
	p.WaitReady()
	client := p.Open("/stream", false)
	_, ok := client.Next()
	require.True(t, ok)
	require.NoError(t, p.Stop())
}

func TestSettingsAreReportedTogether(t *testing.T) {
	err := start(t, map[string]string{"PENDING_MSGS": "0", "RETRY": "soon"}).Wait()
	assert.ErrorContains(t, err, "PENDING_MSGS")
	assert.ErrorContains(t, err, "RETRY")
}
