package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long a server may take to start.
	readyTimeout = 30 * time.Second
	readyPoll    = 20 * time.Millisecond
	// stopTimeout is how long a server may take to end before it is killed.
	stopTimeout = 5 * time.Second
	// outputBytes is how much of a server's output is kept for an error.
	outputBytes = 8 << 10
)

// child is a server's process. It leads a process group, so that what it
// starts ends with it, and a Ctrl+C in a terminal reaches only this program,
// which stops it in its order.
type child struct {
	cmd    *exec.Cmd
	output tail
	exited chan struct{} // closed when it has ended
}

// start starts cmd; only end ends it.
func start(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &c.output, &c.output
	cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	go func() { // owned by end, which waits for exited
		defer close(c.exited)
		// The system tells the child of the death of the thread that started
		// it, not of the process: the thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter; that it did does
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// await polls ready until it gives nil. It fails with what the server has
// written when it ends, or is not ready in time.
func (c *child) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready within %s", readyTimeout))
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(readyPoll):
		case <-c.exited:
			return fmt.Errorf("%s ended:\n%s", c.cmd.Path, c.output.String())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w\n%s", c.cmd.Path, context.Cause(ctx), err, c.output.String())
		}
	}
}

// end stops the process and waits until it is gone.
func (c *child) end() error {
	// A process that has ended takes no signal; that is all it can fail of.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
		return nil
	case <-time.After(stopTimeout):
	}
	killGroup(c.cmd.Process)
	<-c.exited
	return errors.New(c.cmd.Path + " did not end and was killed")
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-outputBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
