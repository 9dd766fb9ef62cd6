//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/peer"
	"sluice/infra/bench/trial"
)

// patience is how long a build or a run may take, none of which takes a minute.
const patience = 5 * time.Minute

// removeBuilt deletes what built has built, if it has.
var removeBuilt = func() error { return nil }

// built is a Sluice to measure, built once for all tests.
var built = sync.OnceValues(func() (binary string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b, remove, e := peer.Build(ctx); e == nil {
		binary, removeBuilt = b, remove
	} else {
		err = e
	}
	return binary, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := removeBuilt(); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// output collects what the command writes while it runs.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command runs the command with a Sluice that is built already. Machines that
// run tests are busy, so a late generator voids nothing.
func command(ctx context.Context, t *testing.T, args ...string) (stdout, stderr string, err error) {
	binary, err := built()
	require.NoError(t, err)
	var out, errs output
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = run(ctx, append([]string{"--binary", binary, "--max-lag", "1m"}, args...), &out, &errs)
	t.Log(errs.String())
	return out.String(), errs.String(), err
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	plot := filepath.Join(t.TempDir(), "latency.svg")
	stdout, stderr, err := command(t.Context(), t, "--clients", "20", "--rates", "50,100", "--warmup", "100ms", "--duration", "1s",
		"--stuck", "1", "--markdown", "--plot", plot)
	require.NoError(t, err)
	assert.Contains(t, stdout, "| 20 × 50/s | Sluice |")
	assert.Contains(t, stdout, "| 20 × 100/s | Sluice |")
	assert.Contains(t, stderr, "missing 0 again 0 cut 0 stuck cut 0 of 1")
	svg, err := os.ReadFile(plot)
	require.NoError(t, err)
	assert.Contains(t, string(svg), "</svg>")
}

func TestSmokeOfTopics(t *testing.T) {
	t.Parallel()
	stdout, _, err := command(t.Context(), t, "--clients", "20", "--topics", "own", "--rate", "200", "--warmup", "0s", "--duration", "1s")
	require.NoError(t, err)
	assert.Contains(t, stdout, "20 × 200/s")
}

func TestSmokeOfAStorm(t *testing.T) {
	t.Parallel()
	stdout, _, err := command(t.Context(), t, "--clients", "20", "--rate", "50", "--warmup", "200ms",
		"--storm", "--storm-behind", "100", "--storm-within", "200ms", "--storm-staying", "3", "--storm-limit", "20s")
	require.NoError(t, err)
	assert.Contains(t, stdout, "all caught up after")
	assert.NotContains(t, stdout, "never")
}

func TestWhatTheServerLosesIsAFailure(t *testing.T) {
	t.Parallel()
	// Clients are closed after a second: the edge's MAX_AGE.
	_, stderr, err := command(t.Context(), t, "--clients", "20", "--rate", "50", "--warmup", "0s", "--duration", "2s", "--grace", "100ms", "--env", "MAX_AGE=1s")
	require.ErrorContains(t, err, "clients were cut")
	assert.NotErrorIs(t, err, errVoid)
	assert.Contains(t, stderr, "FAILED")
}

func TestALateGeneratorVoidsTheRun(t *testing.T) {
	t.Parallel()
	stdout, stderr, err := command(t.Context(), t, "--clients", "1", "--warmup", "0s", "--duration", "1s", "--max-lag", "1ns")
	require.ErrorIs(t, err, errVoid)
	assert.Equal(t, 2, strings.Count(stderr, "void:"), "a void run is made up for once")
	assert.Contains(t, stdout, "void")
}

func TestEndOfTheContextEndsEverything(t *testing.T) {
	_, err := built()
	require.NoError(t, err)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("SIGINT")
	time.AfterFunc(time.Second, func() { cancel(stop) })
	began := time.Now()
	_, _, err = command(ctx, t, "--clients", "20", "--duration", "5m")
	require.ErrorIs(t, err, stop)
	assert.Less(t, time.Since(began), 30*time.Second)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left, "the server's files are gone, and so is the server")
}

func TestPresets(t *testing.T) {
	for _, p := range presets {
		t.Run(p.name, func(t *testing.T) {
			cfg, done, err := parse([]string{"--preset", p.name}, &output{})
			require.NoError(t, err)
			require.False(t, done)
			require.Len(t, cfg.loads, 1)
			assert.True(t, strings.HasPrefix(cfg.loads[0].Name, p.name+" "), cfg.loads[0].Name)
		})
	}
	cfg, _, err := parse([]string{"--preset", "all", "--duration", "3s", "--env", "PENDING_MSGS=7"}, &output{})
	require.NoError(t, err)
	require.Len(t, cfg.loads, len(presets))
	for _, l := range cfg.loads {
		assert.Equal(t, 3*time.Second, l.Duration, "a flag wins over a preset")
		assert.Equal(t, "PENDING_MSGS=7", l.env[len(l.env)-1], "so does a setting")
	}
	assert.Equal(t, 10_100, cfg.connections())
}

func TestRunsDefaultToFiveInTurns(t *testing.T) {
	cfg, _, err := parse([]string{"--stuck", "10", "--against", "unstuck"}, &output{})
	require.NoError(t, err)
	assert.Equal(t, 5, cfg.loads[0].runs)
	list := (&bench{cfg: cfg}).targets(cfg.loads[0])
	require.Len(t, list, 2)
	assert.Equal(t, []int{10, 0}, []int{list[0].scenario.Stuck, list[1].scenario.Stuck})
}

func TestFlagsThatAreWrongAreNamed(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"--clients 0", "--clients"},
		{"--preset nothing", "--preset"},
		{"--preset storm --against nchan", "--against nchan"},
		{"--against unstuck", "--stuck"},
		{"--against mercure", "--against"},
		{"--env PENDING_MSGS", "KEY=VALUE"},
		{"--url http://127.0.0.1:1", "--nats"},
		{"--url http://127.0.0.1:1 --nats nats://x --preset dense", "PENDING_MSGS=5000"},
		{"--pid 1", "--url"},
		{"--plot x.svg", "--rates"},
		{"--runs 101", "--runs"},
		{"--unknown", "--unknown"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			_, done, err := parse(strings.Fields(tc.args), &output{})
			assert.False(t, done)
			assert.ErrorContains(t, err, tc.want)
		})
	}
	assert.ErrorContains(t, run(t.Context(), []string{"--clients", "9999999"}, &output{}, &output{}), "open files")
}

func TestHelp(t *testing.T) {
	var out output
	require.NoError(t, run(t.Context(), []string{"--help"}, &out, &out))
	for _, flag := range []string{"--against", "--storm", "--markdown", "--plot", "nginx-light"} {
		assert.Contains(t, out.String(), flag)
	}
}

func TestARivalsFailureIsNotOurs(t *testing.T) {
	fine := trial.Result{Scenario: trial.Scenario{MaxLag: time.Second}}
	lost := fine
	lost.Defects.Missing = 1
	b := &bench{entries: []entry{{results: [][]trial.Result{{fine}, {lost}}}}}
	assert.NoError(t, b.outcome())
	b.entries[0].results = [][]trial.Result{{fine, lost}, {fine, fine}}
	assert.ErrorContains(t, b.outcome(), "run 2: 1 deliveries are missing")
}
