package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// process is a run of stdin as a process of its own.
type process struct {
	cmd            *exec.Cmd
	in             io.WriteCloser
	stdout, stderr bytes.Buffer
}

// startProcess runs stdin by the command line, which has the program as "$0" and
// files from descriptor 3 on.
// The files are its descriptors from 3 on.
func startProcess(t *testing.T, srv *natstest.Server, sh string, files ...*os.File) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	p := &process{cmd: exec.CommandContext(ctx, "sh", "-c", sh+` exec "$0" stdin --topic a`, os.Args[0])}
	p.cmd.Env = append(os.Environ(), asCommand+"=1", "NATS_URL="+srv.URL())
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = &p.stdout, &p.stderr, files
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = p.cmd.Wait() // its error is that the test has waited
	})
	return p
}

// publish has the process publish a line, the n-th of the log.
func (p *process) publish(t *testing.T, srv *natstest.Server, n uint64) {
	t.Helper()
	_, err := fmt.Fprintln(p.in, n)
	require.NoError(t, err)
	(&started{}).eventually(t, srv, n)
}

func TestSignalStopsTheProcessInGoodOrder(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			srv := natstest.Start(t)
			p := startProcess(t, srv, "")
			p.publish(t, srv, 1)
			p.publish(t, srv, 2)
			require.NoError(t, p.cmd.Process.Signal(sig))
			require.NoError(t, p.cmd.Wait(), p.stderr.String()) // its standard input is still open
			assert.Equal(t, uint64(2), result{stdout: p.stdout.String()}.summary(t).Published)
			p.recorded(t, srv, `"state":"ok"`)
		})
	}
}

func TestASecondHangupChangesNothing(t *testing.T) {
	srv := natstest.Start(t)
	p := startProcess(t, srv, "")
	p.publish(t, srv, 1)
	srv.Stop() // so that there is something left to wait for
	_, err := fmt.Fprintln(p.in, 2)
	require.NoError(t, err)
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		tick := time.NewTicker(pollFor)
		defer tick.Stop()
		for p.cmd.Process.Signal(syscall.SIGHUP) == nil { // until it has ended
			<-tick.C
		}
	}()
	srv.Restart()
	require.NoError(t, p.cmd.Wait(), p.stderr.String())
	receive(t, hungUp, "the process is still there")
	assert.NotZero(t, result{stdout: p.stdout.String()}.summary(t).Published)
}

func TestHangupEndsNothingUnderNohup(t *testing.T) {
	srv := natstest.Start(t)
	p := startProcess(t, srv, `trap "" HUP;`)
	p.publish(t, srv, 1)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.publish(t, srv, 2)
	p.publish(t, srv, 3)
	require.NoError(t, p.in.Close())
	require.NoError(t, p.cmd.Wait(), p.stderr.String())
	assert.Equal(t, uint64(3), result{stdout: p.stdout.String()}.summary(t).Published)
}

// TestAReaderThatGoesAwayChangesNothing: what is left of the input is published, the
// run is recorded, and the exit status is the job's.
func TestAReaderThatGoesAwayChangesNothing(t *testing.T) {
	for _, tt := range []struct{ name, sh string }{
		{"of the standard output", `exec >&3;`},
		{"of both", `exec >&3 2>&3;`},
		{"both closed from the start", `exec >&- 2>&-;`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := natstest.Start(t)
			r, w, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, r.Close())
			defer w.Close()
			p := startProcess(t, srv, tt.sh, w)
			p.publish(t, srv, 1)
			srv.Stop() // which is logged
			_, err = fmt.Fprintln(p.in, 2)
			require.NoError(t, err)
			srv.Restart()
			require.NoError(t, p.in.Close())
			require.NoError(t, p.cmd.Wait(), p.stderr.String())
			p.recorded(t, srv, `"state":"ok"`)
		})
	}
}

// TestAReaderThatDoesNotReadHoldsTheJobNotUp.
func TestAReaderThatDoesNotReadHoldsTheJobNotUp(t *testing.T) {
	srv := natstest.Start(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = io.Copy(w, neverEnding{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded) // the pipe is full
	p := startProcess(t, srv, `exec >&3 2>&3;`, w)
	p.publish(t, srv, 1)
	srv.Stop() // which is logged
	_, err = fmt.Fprintln(p.in, 2)
	require.NoError(t, err)
	srv.Restart()
	require.NoError(t, p.in.Close())
	require.NoError(t, p.cmd.Wait())
	p.recorded(t, srv, `"state":"ok"`)
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// recorded wants a text in the record of the run.
func (p *process) recorded(t *testing.T, srv *natstest.Server, text string) {
	t.Helper()
	kv, err := srv.JetStream(t).KeyValue(t.Context(), event.ProducersBucket)
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), "stdin")
	require.NoError(t, err)
	assert.Contains(t, string(entry.Value()), text)
}
