package world

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// outliveFullDisk has a process live on when it may write no more: the system
// would end it.
func outliveFullDisk() { signal.Ignore(syscall.SIGXFSZ) }

// fillDisk has every write of a process to a file fail, or no more: to it the
// disk is full. It needs no rights and no disk.
func fillDisk(pid int, full bool) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if full {
		limit.Cur = 0
	}
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil)
}
