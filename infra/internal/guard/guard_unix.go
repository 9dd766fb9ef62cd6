//go:build unix

package guard

import (
	"fmt"
	"os/exec"
	"syscall"
)

// Guard is a shell that leads the group of some processes. It waits for the
// end of its standard input, which only this program holds: whatever ends the
// program, SIGKILL too, ends the whole group. A signal to one process alone, as
// its parent's death can send it, would leave running what that has started.
type Guard struct{ cmd *exec.Cmd }

const script = `trap "" HUP INT TERM; read -r _; kill -s KILL 0`

// Start makes a group that is empty but for its guard. The guard is there
// before the others are, so that no moment is without it.
func Start() (*Guard, error) {
	g := &Guard{exec.Command("/bin/sh", "-c", script)}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err := g.cmd.StdinPipe() // Wait closes it
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start a guard for processes: %w", err)
	}
	return g, nil
}

// Admit has cmd start in the group.
func (g *Guard) Admit(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.cmd.Process.Pid}
}

// End kills all that is left of the group, and the guard with it. Nobody else
// can have the group's number before the guard is waited for.
func (g *Guard) End() {
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait() // it was killed: the error says nothing more
}
