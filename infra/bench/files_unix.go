//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// spareFiles is what is open beside the clients.
const spareFiles = 64

// raiseFiles lets this process open as many files as it may at all, and checks
// that this is enough for n connections.
func raiseFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	if need := uint64(n + spareFiles); need > uint64(limit.Max) {
		return fmt.Errorf("--clients: %d connections need %d open files, this process may have %d: take fewer, or raise the hard limit (ulimit -Hn)", n, need, limit.Max)
	}
	return nil
}
