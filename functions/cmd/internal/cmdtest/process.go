// Package cmdtest runs the commands local and edge, inside a test (Start) or as
// a process of its own (Exec), and plays their clients. Everything ends with the
// test.
package cmdtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

const poll = 10 * time.Millisecond

// Run is a command's run.
type Run func(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) error

// Process is a command that runs.
type Process struct {
	tb     testing.TB
	signal func(os.Signal)
	id     int           // the system's, of Exec
	pipes  []*os.File    // what stdout and stderr are read from, of Exec
	pause  sync.Mutex    // held while nothing is read from them
	exited chan struct{} // closed when the process is gone, of Exec; done comes when all is read
	done   chan struct{} // closed when it has ended, with err
	err    error
	stdout output
	stderr output
}

// Start starts a command on a free port of 127.0.0.1 with the environment env
// and nothing of the test's own.
func Start(tb testing.TB, run Run, env map[string]string, args ...string) *Process {
	tb.Helper()
	vars := onAFreePort(env)
	getenv := func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
	ctx, end := context.WithCancel(context.Background())
	p := &Process{tb: tb, signal: func(os.Signal) { end() }, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = run(ctx, args, getenv, &p.stdout, &p.stderr)
	}()
	tb.Cleanup(func() { _ = p.Stop() })
	return p
}

// onAFreePort is env with an address to listen on, unless it has one.
func onAFreePort(env map[string]string) map[string]string {
	vars := map[string]string{"HOST": "127.0.0.1", "PORT": "0"}
	maps.Copy(vars, env)
	return vars
}

// Terminate is SIGTERM.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// Stop is SIGTERM and the wait for the process's end, whose error it returns.
func (p *Process) Stop() error {
	p.Terminate()
	return p.Wait()
}

// Wait is the wait for the process's end by itself.
func (p *Process) Wait() error {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(natstest.Patience):
		require.FailNow(p.tb, "the process does not end", p.stderr.text())
	}
	return p.err
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// URL is where the process listens; it waits for that.
func (p *Process) URL() string {
	p.tb.Helper()
	return "http://" + p.Logged("listening")["addr"].(string)
}

// Stdout is what the process has printed.
func (p *Process) Stdout() string { return p.stdout.text() }

// Stderr is what the process has logged.
func (p *Process) Stderr() string { return p.stderr.text() }

// Logged waits for a log record with the message, and returns it.
func (p *Process) Logged(message string) map[string]any {
	p.tb.Helper()
	var found []map[string]any
	p.eventually(func() bool {
		found = p.Records(message)
		return len(found) > 0
	}, "no log record "+message)
	return found[0]
}

// Records are the log records so far with the message.
func (p *Process) Records(message string) (found []map[string]any) {
	for line := range bytes.Lines([]byte(p.stderr.text())) {
		var record map[string]any
		if json.Unmarshal(line, &record) == nil && record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

// Eventually waits until condition holds.
func (p *Process) Eventually(condition func() bool) {
	p.tb.Helper()
	p.eventually(condition, "the condition does not hold")
}

func (p *Process) eventually(condition func() bool, message string) {
	p.tb.Helper()
	deadline := time.After(natstest.Patience)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for ended := false; ; {
		if condition() {
			return
		}
		if ended {
			require.FailNow(p.tb, "the process has ended", "%v; %s\n%s", p.err, message, p.stderr.text())
		}
		select {
		case <-p.done:
			ended = true // one more look
		case <-tick.C:
		case <-deadline:
			require.FailNow(p.tb, "not in time", "%s\n%s", message, p.stderr.text())
		}
	}
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
