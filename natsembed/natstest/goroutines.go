package natstest

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// CheckGoroutines fails the test when at its end more goroutines live than
// now, and shows the new ones. It must be the first line of the test, so that
// its check comes after everything else that was to be cleaned up, and the
// test must not be parallel to others.
func CheckGoroutines(tb testing.TB) {
	tb.Helper()
	checkGoroutines(tb, Patience)
}

func checkGoroutines(tb testing.TB, settle time.Duration) {
	tb.Helper()
	before := goroutines()
	tb.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		deadline := time.Now().Add(settle)
		tick := time.NewTicker(pollFor)
		defer tick.Stop()
		after := goroutines()
		for ; len(after) > len(before) && time.Now().Before(deadline); after = goroutines() {
			<-tick.C
		}
		if len(after) <= len(before) {
			return
		}
		tb.Errorf("%d goroutines are left over; the new ones:", len(after)-len(before))
		for id, stack := range after {
			if _, ok := before[id]; !ok {
				tb.Error(stack)
			}
		}
	})
}

// ignored mark the goroutines that belong to no test.
var ignored = []string{
	"testing.(*M).startAlarm",
	"testing.(*T).Run(",
	"testing.tRunner(", // this test's own, or the last one's that is about to end
	"testing.runFuzzing(",
	"os/signal.signal_recv",
	"runtime.ensureSigM",
}

// goroutines are the stacks of all goroutines of tests, by their header's id.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for ; n == len(buf); n = runtime.Stack(buf, true) {
		buf = make([]byte, 2*len(buf)) // it did not fit
	}
	found := map[string]string{}
next:
	for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		for _, mark := range ignored {
			if strings.Contains(stack, mark) {
				continue next
			}
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		found[id] = stack
	}
	return found
}
