// Package signals is how the commands end: one context for what the system and who
// started them have to say.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context is a context for the whole command. It ends at SIGTERM, SIGINT or SIGHUP;
// the second SIGTERM or SIGINT ends the process at once, a second SIGHUP does not:
// a terminal that goes away sends several. A command that is started with SIGHUP
// ignored, as by nohup, goes on ignoring it.
//
// Standard output and error may be closed by who reads them: from then on what
// is written there is lost, and the process lives on.
func Context() context.Context {
	signal.Ignore(syscall.SIGPIPE) // Go ends a process that gets one from 1 or 2
	ends := []os.Signal{syscall.SIGTERM, os.Interrupt}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, func() {
		signal.Ignore(syscall.SIGHUP) // before stop, which would give it back its default
		stop()
	})
	return ctx
}
