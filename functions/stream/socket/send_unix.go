//go:build unix && !linux

package socket

import "syscall"

// trySend makes one system call that does not wait, because Go's sockets do
// not: what the socket does not take is EAGAIN.
func trySend(fd int, p []byte) (int, error) {
	n, err := syscall.Write(fd, p)
	return max(n, 0), err
}
