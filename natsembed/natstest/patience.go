package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for what must happen before it gives up. It
// is far above what anything takes, for machines that do other things too: no
// test that passes waits for it to end.
const Patience = time.Minute

// Context ends with the test, and after Patience.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	tb.Cleanup(cancel)
	return ctx
}

// Receive is the next value of a channel, or the zero value at its end. The
// test fails when neither comes within Patience.
func Receive[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	return receive(tb, from, Patience)
}

func receive[T any](tb testing.TB, from <-chan T, within time.Duration) (v T) {
	tb.Helper()
	patience := time.NewTimer(within)
	defer patience.Stop()
	select {
	case v = <-from:
	case <-patience.C:
		require.FailNow(tb, "nothing is received", "after %s", within)
	}
	return v
}

// Await fails the test when wait, such as a WaitGroup's, does not return within
// Patience.
func Await(tb testing.TB, wait func()) {
	tb.Helper()
	returned := make(chan struct{})
	go func() { // ends with wait
		defer close(returned)
		wait()
	}()
	Receive(tb, returned)
}
