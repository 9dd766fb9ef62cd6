package streamtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/socket"
	"sluice/natsembed/natstest"
)

// edgeEnv tells a test binary to be an edge: ProcessOptions as JSON.
const edgeEnv = "SLUICE_STREAMTEST_EDGE"

// ProcessOptions is what an edge in a process of its own is started with.
type ProcessOptions struct {
	NATS        string
	ThroughHTTP bool
}

func (o ProcessOptions) edge() Options {
	var e Options
	e.Listen = socket.ListenOptions{SendBuffer: 64 << 10}
	e.Stream.ThroughHTTP = o.ThroughHTTP
	return e
}

// RunEdgeIfAsked is one of the first lines of TestMain in a package whose tests
// use StartProcess. In a process that StartProcess started it runs an edge and
// never returns; else it does nothing.
func RunEdgeIfAsked() {
	if text := os.Getenv(edgeEnv); text != "" {
		if err := runEdge(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// runEdge runs an edge until its parent dies.
func runEdge(text string) error {
	var o ProcessOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("%s: %w", edgeEnv, err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	e, err := start(context.Background(), o.NATS, o.edge(), log)
	if err != nil {
		return err
	}
	if err := e.waitLoaded(); err != nil {
		return err
	}
	fmt.Println(e.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(errors.New("the parent is gone"), err)
}

// Process is an edge in a process of its own: the test binary, run again. Its
// methods are for one goroutine.
type Process struct {
	URL string

	cmd   *exec.Cmd
	stdin io.Closer
	log   string // file
}

// StartProcess starts an edge and returns when it is ready. It is killed at the
// end of the test. The package's TestMain must call RunEdgeIfAsked first.
func StartProcess(tb testing.TB, o ProcessOptions) *Process {
	tb.Helper()
	text, err := json.Marshal(o)
	require.NoError(tb, err)
	self, err := os.Executable()
	require.NoError(tb, err)
	log, err := os.Create(filepath.Join(tb.TempDir(), "edge.log"))
	require.NoError(tb, err)
	defer log.Close()
	p := &Process{cmd: exec.Command(self), log: log.Name()}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), edgeEnv+"="+string(text)), log
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, p.cmd.Start())
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			said, _ := os.ReadFile(p.log)
			tb.Logf("the edge %s said:\n%s", p.URL, said)
		}
	})
	patience := p.killAfter(natstest.Patience) // which ends its output
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	patience.Stop()
	p.URL = strings.TrimSpace(line)
	require.NotEmpty(tb, p.URL, "the edge did not start; does TestMain call RunEdgeIfAsked?")
	return p
}

// Kill ends the process with SIGKILL, if it lives, and waits until it is gone.
func (p *Process) Kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed: the error says nothing more
		_ = p.stdin.Close()
	}
}

func (p *Process) killAfter(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() { _ = p.cmd.Process.Kill() })
}

// RSS is the memory that the process holds, in bytes.
func (p *Process) RSS(tb testing.TB) uint64 {
	tb.Helper()
	ps, err := process.NewProcess(int32(p.cmd.Process.Pid))
	require.NoError(tb, err)
	mem, err := ps.MemoryInfo()
	require.NoError(tb, err)
	return mem.RSS
}

var endRecord = regexp.MustCompile(`msg="a stream ended" reason=(\w+) .* remote=(\S+)`)

// WhyEnded is the reason for which the edge has ended the connection of a
// client, by its log; "" while it has not.
func (p *Process) WhyEnded(tb testing.TB, c *Client) string {
	tb.Helper()
	said, err := os.ReadFile(p.log)
	require.NoError(tb, err)
	for _, record := range endRecord.FindAllStringSubmatch(string(said), -1) {
		if record[2] == c.conn.LocalAddr().String() {
			return record[1]
		}
	}
	return ""
}
