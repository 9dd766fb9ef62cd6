package pace

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep asks the system itself: Go's own timers may be a millisecond late.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // EINTR: the caller looks again
}
