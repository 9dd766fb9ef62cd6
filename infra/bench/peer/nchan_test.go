//go:build linux

package peer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/peer"
	"sluice/natsembed/natstest"
)

// needNchan is the first line of a test with Nchan. Where none is installed the
// test is skipped, with what to install; but not in CI, where it has to run.
func needNchan(t *testing.T) {
	t.Helper()
	if err := peer.CheckNchan(); err != nil {
		require.ErrorContains(t, err, "apt-get install nginx-light libnginx-mod-nchan")
		require.Empty(t, os.Getenv("CI"), "in CI nothing is skipped: %s", err)
		t.Skip(err)
	}
}

// startNchan starts a server that ends with the test.
func startNchan(t *testing.T) *peer.Server {
	t.Helper()
	needNchan(t)
	server, err := peer.StartNchan(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}

// subscribe gives the payloads that a subscriber of a topic gets, until the
// test ends.
func subscribe(ctx context.Context, t *testing.T, server *peer.Server, topic string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.Addr.String()+server.Path(topic), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { res.Body.Close() })
	require.Equal(t, http.StatusOK, res.StatusCode)
	heard := make(chan string)
	go func() { // ended by ctx
		defer close(heard)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, isData := strings.CutPrefix(lines.Text(), "data: ")
			if !isData {
				continue
			}
			select {
			case heard <- data:
			case <-ctx.Done():
				return
			}
		}
	}()
	return heard
}

func TestNchan(t *testing.T) {
	server := startNchan(t)
	assert.True(t, server.KnowsUsage())
	usage, err := server.Usage(t.Context())
	require.NoError(t, err)
	assert.Greater(t, usage.RSS, int64(1<<20), "master and workers")

	ctx := natstest.Context(t)
	heard := subscribe(ctx, t, server, "a.b")
	pub, err := server.Publisher(ctx, 8)
	require.NoError(t, err)
	defer pub.Close()
	n := 0
	publish := func() {
		require.NoError(t, pub.Publish(ctx, "a.b", fmt.Appendf(nil, "event %03d", n)))
		n++
	}
	// An event that another worker takes before it knows of the subscriber is
	// not for it: events are published until one is heard.
	var first string
	for retry := time.NewTicker(20 * time.Millisecond); first == ""; {
		publish()
		select {
		case first = <-heard:
			retry.Stop()
		case <-retry.C:
		}
	}
	for range 50 {
		publish()
	}
	require.NoError(t, pub.Flush(ctx))
	var next int
	_, err = fmt.Sscanf(first, "event %d", &next)
	require.NoError(t, err, first)
	for next++; next < n; next++ {
		require.Equal(t, fmt.Sprintf("event %03d", next), <-heard, "\"\" is the end of the response or of patience")
	}
	assert.NoError(t, ctx.Err())
}

func TestStoppedServersAreGone(t *testing.T) {
	server := startNchan(t)
	started := descendants(t, os.Getpid())
	assert.Greater(t, len(started), 2, "guard, master and workers: %v", started)
	require.NoError(t, server.Stop())
	waitGone(t, started)
	assertRefuses(t, server.Addr.String())
	_, err := server.Usage(t.Context())
	assert.Error(t, err)
}

// Nchan's workers outlive their master, and listen on.
func TestWhatADeadServerHasStartedIsGone(t *testing.T) {
	server := startNchan(t)
	started := descendants(t, os.Getpid())
	for _, p := range started {
		title, err := p.Cmdline()
		require.NoError(t, err)
		if strings.Contains(title, "master process") {
			require.NoError(t, p.Kill())
		}
	}
	waitGone(t, started)
	assert.NoError(t, server.Stop())
	assertRefuses(t, server.Addr.String())
}

func TestServersEndWithAKilledProgram(t *testing.T) {
	needNchan(t)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	program := program(ctx, t)
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		cancel()
		_ = program.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	started := descendants(t, program.Process.Pid)
	assert.Greater(t, len(started), 2, "guard, master and workers: %v", started)
	require.NoError(t, program.Process.Kill())
	waitGone(t, started)
	assertRefuses(t, strings.TrimSpace(addr))
}

// holdNchan is the program of TestServersEndWithAKilledProgram: it starts
// Nchan and does not stop it.
func holdNchan() error {
	server, err := peer.StartNchan(context.Background())
	if err != nil {
		return err
	}
	fmt.Println(server.Addr)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
