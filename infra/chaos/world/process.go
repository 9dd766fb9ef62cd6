package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"sluice/infra/internal/guard"
)

const (
	// startTimeout is how long a process may take until it answers.
	startTimeout = 2 * time.Minute
	startPoll    = 50 * time.Millisecond
	askTimeout   = 2 * time.Second
)

// Process is one process of the world, which may die and live again. Whoever
// changes it claims it first. Its methods are safe for concurrent use.
type Process struct {
	Name string

	claim   sync.Mutex
	group   *guard.Guard
	log     string // file of its output
	command func() *exec.Cmd
	ready   func(context.Context) error

	mu     sync.Mutex
	run    *run
	paused bool
	starts int
}

// run is one life of a process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Claim waits until nobody else has the process, and keeps it until the function
// that it returns is called.
func (p *Process) Claim() (release func()) {
	p.claim.Lock()
	return p.claim.Unlock
}

// Log is the file that has what it wrote.
func (p *Process) Log() string { return p.log }

// Start starts it, if it does not run, and waits until it answers.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.Await(ctx)
}

// Launch starts it, if it does not run, and waits for nothing.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		select {
		case <-p.run.exited:
		default:
			return nil
		}
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = out, out
	p.group.Admit(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	r := &run{cmd: cmd, exited: make(chan struct{})}
	go func() { // Close waits for exited
		defer close(r.exited)
		_ = cmd.Wait() // how it ended does not matter
	}()
	p.run, p.paused = r, false
	p.starts++
	return nil
}

// Await waits until it answers.
func (p *Process) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s does not answer after %s, see %s", p.Name, startTimeout, p.log))
	defer cancel()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(startPoll):
		case <-p.exited():
			return fmt.Errorf("%s has ended, see %s", p.Name, p.log)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// exited is closed when the process has ended; nil before it was started.
func (p *Process) exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	return p.run.exited
}

// Pid is its process id, 0 while it does not run.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	select {
	case <-p.run.exited:
		return 0
	default:
		return p.run.cmd.Process.Pid
	}
}

// Starts is how often it was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Runs reports whether it lives and is not paused.
func (p *Process) Runs() bool {
	alive := p.Pid() != 0
	p.mu.Lock()
	defer p.mu.Unlock()
	return alive && !p.paused
}

// Kill ends it as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r != nil {
		_ = r.cmd.Process.Kill()
		<-r.exited
	}
}

// Terminate asks it to end (SIGTERM) and waits for that; it is killed if it
// takes longer than patience, and that is an error.
func (p *Process) Terminate(patience time.Duration) error {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	_ = signalTerm(r.cmd.Process)
	select {
	case <-r.exited:
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s had not ended %s after SIGTERM", p.Name, patience)
	}
}

// Pause stops it as SIGSTOP does; Resume lets it go on.
func (p *Process) Pause() error { return p.pause(true) }

// Resume lets it go on after Pause.
func (p *Process) Resume() error { return p.pause(false) }

func (p *Process) pause(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	p.paused = on
	return signalPause(p.run.cmd.Process, on)
}

// answers asks for a URL and wants 200.
func answers(url string) func(context.Context) error {
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, res.Status)
		}
		return nil
	}
}

func logFile(dir, name string) string { return filepath.Join(dir, name+".log") }
