package stream_test

import (
	"flag"
	"os"
	"testing"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// rapidChecks is how many cases a property test tries: each is a conversation
// over real sockets.
const rapidChecks = "25"

func TestMain(m *testing.M) {
	natstest.RunNodeIfAsked()
	// The command line comes later and wins.
	_ = flag.Set("rapid.checks", rapidChecks)
	_ = flag.Set("test.parallel", "16") // the parallel tests wait more than they work
	os.Exit(natstest.RunAll(m))
}

// ways runs a test over both ways to the socket.
func ways(t *testing.T, test func(t *testing.T, way func(*streamtest.Options))) {
	t.Helper()
	t.Run("direct", func(t *testing.T) { test(t, direct) })
	t.Run("through net/http", func(t *testing.T) { test(t, throughHTTP) })
	t.Run("over TLS", func(t *testing.T) { test(t, overTLS) })
}

func direct(*streamtest.Options) {}

func throughHTTP(o *streamtest.Options) { o.Stream.ThroughHTTP = true }

func overTLS(o *streamtest.Options) { o.Stream.ThroughHTTP, o.TLS = true, true }

// parallelWays is ways for tests that wait much and work little.
func parallelWays(t *testing.T, test func(t *testing.T, way func(*streamtest.Options))) {
	t.Helper()
	t.Parallel()
	for name, way := range map[string]func(*streamtest.Options){"direct": direct, "through net/http": throughHTTP, "over TLS": overTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, way)
		})
	}
}
