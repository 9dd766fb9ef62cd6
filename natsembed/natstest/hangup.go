package natstest

import (
	"os"
	"os/signal"
	"syscall"
)

// HearHangup is for a TestMain whose tests start processes that must hear SIGHUP.
// Tests that run under nohup ignore it and would hand that on; of a signal that is
// heard a process inherits nothing.
func HearHangup() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}
