//go:build linux

package peer_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/peer"
	"sluice/natsembed/natstest"
)

// programEnv tells the test binary to be a program that starts servers.
const programEnv = "SLUICE_PEER_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		if err := holdNchan(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is this test binary as such a program. It is killed with ctx, so
// that no read of its output lasts longer, and ends by itself with the test.
// What it has no time to remove is in the test's directory.
func program(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), programEnv+"=1", "TMPDIR="+t.TempDir()), t.Output()
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	return cmd
}

// descendants are the processes that a process has started, and theirs.
func descendants(t *testing.T, pid int) []*process.Process {
	t.Helper()
	parent, err := process.NewProcess(int32(pid))
	require.NoError(t, err)
	all, err := parent.Children()
	require.NoError(t, err)
	for _, child := range all {
		all = append(all, descendants(t, int(child.Pid))...)
	}
	return all
}

// waitGone waits until no process runs any more. One that nobody has waited
// for yet is gone too.
func waitGone(t *testing.T, processes []*process.Process) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, p := range processes {
			status, err := p.Status()
			if err == nil && status[0] != process.Zombie {
				return false
			}
		}
		return true
	}, natstest.Patience, 5*time.Millisecond, "%v", processes)
}

func assertRefuses(t *testing.T, addr string) {
	t.Helper()
	_, err := net.DialTimeout("tcp", addr, natstest.Patience)
	assert.ErrorContains(t, err, "connection refused")
}

// A server whose own processes outlive it, and hold its output, has ended.
func TestAServerThatEndsLeavesNothing(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	script := filepath.Join(t.TempDir(), "server")
	text := fmt.Sprintf("#!/bin/sh\nsleep 1000 &\necho $! > %s\necho that is all\n", pids)
	require.NoError(t, os.WriteFile(script, []byte(text), 0o700))
	_, err := peer.StartSluice(t.Context(), script, nil)
	require.ErrorContains(t, err, "server ended:\nthat is all")
	said, err := os.ReadFile(pids)
	require.NoError(t, err)
	var pid int32
	_, err = fmt.Sscan(string(said), &pid)
	require.NoError(t, err)
	if left, err := process.NewProcess(pid); err == nil {
		waitGone(t, []*process.Process{left})
	}
	assert.Empty(t, descendants(t, os.Getpid()))
}
