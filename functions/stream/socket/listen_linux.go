package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets what accepted connections inherit from the listener.
func control(o ListenOptions) func(network, address string, c syscall.RawConn) error {
	if o.UserTimeout == 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds()))
		}); cerr != nil {
			return cerr
		}
		return err
	}
}
