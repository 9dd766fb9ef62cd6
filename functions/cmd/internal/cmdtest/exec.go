package cmdtest

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askedEnv tells a test binary to be the command that it tests.
const askedEnv = "SLUICE_CMDTEST_COMMAND"

// orphaned is the exit status of a command whose test is gone.
const orphaned = 3

// RunIfAsked is one of the first lines of TestMain in a package whose tests use
// Exec. In a process that Exec started it is the command, whose main it is
// given, and never returns; else it does nothing.
func RunIfAsked(main func()) {
	if os.Getenv(askedEnv) == "" {
		return
	}
	go func() {
		// The test holds the other end for as long as it lives.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(orphaned)
	}()
	main()
	os.Exit(0)
}

// Exec starts the command as Start does, in a process of its own: the test
// binary, run again as RunIfAsked says. It is killed at the end of the test.
func Exec(tb testing.TB, env map[string]string, args ...string) *Process {
	tb.Helper()
	self, err := os.Executable()
	require.NoError(tb, err)
	return execute(tb, env, exec.Command(self, args...))
}

// ExecAfter is Exec by a shell that has run setup before, for what a process
// inherits: trap "" HUP has it ignore SIGHUP, as nohup does; ulimit -n 256 is all
// the files that it may open.
func ExecAfter(tb testing.TB, setup string, env map[string]string) *Process {
	tb.Helper()
	self, err := os.Executable()
	require.NoError(tb, err)
	return execute(tb, env, exec.Command("sh", "-c", setup+`; exec "$0"`, self))
}

func execute(tb testing.TB, env map[string]string, cmd *exec.Cmd) *Process {
	tb.Helper()
	cmd.Env = []string{askedEnv + "=1"}
	for name, value := range onAFreePort(env) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	p := &Process{tb: tb, done: make(chan struct{}), exited: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	var reading sync.WaitGroup
	outs := []*os.File{p.read(&reading, &cmd.Stdout, &p.stdout), p.read(&reading, &cmd.Stderr, &p.stderr)}
	require.NoError(tb, cmd.Start())
	p.id = cmd.Process.Pid
	p.signal = func(s os.Signal) { _ = cmd.Process.Signal(s) } // its error is that the process has ended
	for _, out := range outs {
		_ = out.Close() // it is the command's
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		close(p.exited)
		reading.Wait()
	}()
	tb.Cleanup(func() {
		p.Kill()
		_ = stdin.Close()
		assert.False(tb, strings.Contains(p.Stderr(), "DATA RACE"), "the command races")
		if tb.Failed() {
			tb.Logf("%v, ended with %v, said:\n%s%s", env, p.err, p.Stdout(), p.Stderr())
		}
	})
	return p
}

// read has what the command writes to its end of a pipe read into to. That end
// is to be closed here when the command has it.
func (p *Process) read(reading *sync.WaitGroup, from *io.Writer, to *output) *os.File {
	p.tb.Helper()
	r, w, err := os.Pipe()
	require.NoError(p.tb, err)
	*from, p.pipes = w, append(p.pipes, r)
	reading.Go(func() {
		_, _ = io.Copy(pausable{&p.pause, to}, r)
		_ = r.Close()
	})
	return w
}

// StopReading closes what the standard output and error of a process of Exec are
// read from: its next write fails.
func (p *Process) StopReading() {
	for _, pipe := range p.pipes {
		_ = pipe.Close()
	}
}

// PauseReading stays at the other end of the standard output and error of a process
// of Exec, and reads nothing, until resume is called.
func (p *Process) PauseReading() (resume func()) {
	p.pause.Lock()
	return sync.OnceFunc(p.pause.Unlock)
}

type pausable struct {
	pause *sync.Mutex
	to    io.Writer
}

func (w pausable) Write(b []byte) (int, error) {
	w.pause.Lock()
	defer w.pause.Unlock()
	return w.to.Write(b)
}

// RSS is the memory that a process of Exec holds, in bytes.
func (p *Process) RSS() uint64 {
	p.tb.Helper()
	running, err := process.NewProcess(int32(p.id))
	require.NoError(p.tb, err)
	memory, err := running.MemoryInfo()
	require.NoError(p.tb, err)
	return memory.RSS
}

// Interrupt is SIGINT.
func (p *Process) Interrupt() { p.signal(os.Interrupt) }

// Hangup is SIGHUP.
func (p *Process) Hangup() { p.signal(syscall.SIGHUP) }

// Kill is SIGKILL, and the wait until the process is gone.
func (p *Process) Kill() {
	p.tb.Helper()
	p.signal(syscall.SIGKILL)
	_ = p.Wait()
}
