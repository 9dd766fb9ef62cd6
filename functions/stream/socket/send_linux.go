package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// trySend makes one system call that does not wait: what the socket does not
// take is EAGAIN. The scheduler need not know of it, which would double what
// Go adds to the call, and a socket's send passes over what write(2) checks for
// files.
func trySend(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, syscall.Errno(errno)
	}
	return int(n), nil
}
