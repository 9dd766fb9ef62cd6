package natstest

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// CheckGoroutines fails the test when at its end a goroutine lives that did not
// live before, and shows it. It must be the first line of the test, so that its
// check comes after everything else that was to be cleaned up, and the test must
// not be parallel to others.
func CheckGoroutines(tb testing.TB) {
	tb.Helper()
	checkGoroutines(tb, Patience)
}

func checkGoroutines(tb testing.TB, within time.Duration) {
	tb.Helper()
	before := goleak.IgnoreCurrent()
	tb.Cleanup(func() {
		if err := awaitGoroutines(within, before); err != nil {
			tb.Error(err)
		}
	})
}

// RunAll runs the tests of a package some of which are parallel to others. It
// fails, as CheckGoroutines does, when a goroutine lives after all of them.
func RunAll(m *testing.M) (code int) {
	before := goleak.IgnoreCurrent()
	if code = m.Run(); code != 0 {
		return code
	}
	if err := awaitGoroutines(Patience, before); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// forgotten is what a NATS server leaves behind that is stopped while it creates
// a stream: the new stream's file store is in no list yet. Nothing ends it (as
// of nats-server 2.15.2). A server that is not stopped leaves much else.
var forgotten = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
	goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
}

// awaitGoroutines asks goleak for longer than the half second that it waits for
// the last goroutines to end.
func awaitGoroutines(within time.Duration, before goleak.Option) error {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for deadline := time.Now().Add(within); ; {
		err := goleak.Find(append(forgotten, before)...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
