package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/infra/internal/guard"
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

// child is a server's process, in a group of its own with all that it starts:
// the group ends when the server does, or when this program does. A Ctrl+C in a
// terminal reaches only this program, which stops the server in its order.
type child struct {
	cmd    *exec.Cmd
	output tail
	exited chan struct{} // closed when it and all that it has started are gone
}

// start starts cmd; only end ends it.
func start(cmd *exec.Cmd) (*child, error) {
	group, err := guard.Start()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		group.End()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	c := &child{cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = w, w // files, for which Wait does not wait
	group.Admit(cmd)
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		group.End()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() { // owned by end, which waits for exited
		defer close(c.exited)
		defer r.Close()
		var reader sync.WaitGroup
		reader.Go(func() { _, _ = io.Copy(&c.output, r) })
		_ = cmd.Wait() // how it ended does not matter; that it did does
		group.End()
		// The output ends when nobody is left to write any. A process that has
		// left the group may still write.
		_ = r.SetReadDeadline(time.Now().Add(stopTimeout))
		reader.Wait()
	}()
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

// end stops the process and waits until it and all that it has started are gone.
func (c *child) end() error {
	// This fails only where the process has ended already.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
		return nil
	case <-time.After(stopTimeout):
	}
	_ = c.cmd.Process.Kill()
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
