//go:build unix

package peer

import (
	"fmt"
	"os/exec"
	"syscall"
)

// guard is a shell that leads the process group of a server. It waits for the
// end of its standard input, which only this program holds: whatever ends the
// program, SIGKILL too, ends the whole group. A signal to the server alone, as
// its parent's death can send it, would leave nginx's workers running.
type guard struct{ cmd *exec.Cmd }

const guardScript = `trap "" HUP INT TERM; read -r _; kill -s KILL 0`

// startGuard makes a group that is empty but for its guard. The guard is there
// before the server is, so that no moment is without it.
func startGuard() (*guard, error) {
	g := &guard{exec.Command("/bin/sh", "-c", guardScript)}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err := g.cmd.StdinPipe() // Wait closes it
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start a guard for a server: %w", err)
	}
	return g, nil
}

// admit has cmd start in the group.
func (g *guard) admit(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.cmd.Process.Pid}
}

// end kills all that is left of the group, and the guard with it. Nobody else
// can have the group's number before the guard is waited for.
func (g *guard) end() {
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait() // it was killed: the error says nothing more
}
