//go:build !linux

package stream

import "syscall"

func control(ListenOptions) func(network, address string, c syscall.RawConn) error { return nil }
