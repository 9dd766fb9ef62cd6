// Package natstest gives tests real NATS servers with JetStream: one server, a
// cluster in the test's process, also one whose routes can be cut, or a cluster
// of processes that can be killed.
// All of them listen on 127.0.0.1, keep their files in the test's temporary
// directory and are gone when the test ends.
//
// Ports are fixed over restarts and lie below the range from which systems
// take ports for outgoing connections: a client that reconnects to a stopped
// server can otherwise connect to itself and hold the port.
package natstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const (
	firstPort                = 20000
	portRanges, portsOfRange = 24, 500

	// startTries is how often a server is started on new ports when another
	// program took them in between.
	startTries = 3
	pollFor    = 10 * time.Millisecond
)

// reserved are the ports of all tests that run in this process.
var reserved sync.Map

// Ports finds n free TCP ports of 127.0.0.1. They are the test's until it ends,
// also while the servers on them are stopped: other tests of this process get
// others, and those of another process have another range.
func Ports(tb testing.TB, n int) []int {
	tb.Helper()
	first := firstPort + os.Getpid()%portRanges*portsOfRange
	var found []int
	for range 1000 {
		if len(found) == n {
			return found
		}
		port := first + rand.IntN(portsOfRange)
		if _, taken := reserved.LoadOrStore(port, true); taken {
			continue
		}
		tb.Cleanup(func() { reserved.Delete(port) })
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		found = append(found, port)
	}
	require.FailNow(tb, "no free ports on 127.0.0.1")
	return nil
}

// connect connects to urls and closes the connection at the end of the test.
// It reconnects for ever, and quickly, unless opts say otherwise.
func connect(tb testing.TB, urls string, opts []nats.Option) *nats.Conn {
	tb.Helper()
	opts = append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.Timeout(5 * time.Second),
	}, opts...)
	nc, err := nats.Connect(urls, opts...)
	require.NoError(tb, err)
	tb.Cleanup(nc.Close)
	return nc
}

func jetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	return js
}

// Recreate creates a stream or a bucket, also anew after its removal. It asks
// again when the answer was lost in an election, and when the server refuses: it
// removes the empty directory of all streams in the background, and takes no
// stream that comes in between. So create must do no harm twice.
func Recreate(tb testing.TB, create func() error) {
	tb.Helper()
	var err error
	require.Eventually(tb, func() bool {
		err = create()
		var refused *jetstream.APIError
		return !unanswered(err) && (!errors.As(err, &refused) || refused.ErrorCode != storeFailed)
	}, Patience, pollFor)
	require.NoError(tb, err)
}

// DeleteStream removes a stream, and asks again as Recreate does.
func DeleteStream(tb testing.TB, js jetstream.JetStream, name string) {
	tb.Helper()
	var err error
	require.Eventually(tb, func() bool {
		err = js.DeleteStream(tb.Context(), name)
		return !unanswered(err)
	}, Patience, pollFor)
	if !errors.Is(err, jetstream.ErrStreamNotFound) { // the lost answer's was carried out
		require.NoError(tb, err)
	}
}

// unanswered reports whether a request may have met an election.
func unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}

// storeFailed is JSStreamStoreFailedF of the JetStream API.
const storeFailed jetstream.ErrorCode = 10049
