//go:build !linux

package socket

import "syscall"

func control(ListenOptions) func(network, address string, c syscall.RawConn) error { return nil }
