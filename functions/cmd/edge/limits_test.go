package main

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// poll is between two looks at something that is to come.
const poll = 10 * time.Millisecond

// aStall is a STALL_TIMEOUT of which the edge is sure to notice the end before
// the kernel does: that looks after 0.2, 0.6, 1.4 and 3 s (TCP_USER_TIMEOUT).
const aStall = "2s"

// receiveBuffer is what the kernel may hold for a client that does not read.
const receiveBuffer = 32 << 10

// noLimits are settings under which no client is cut; those of a test come
// behind them.
func noLimits(settings ...string) []string {
	return append([]string{
		"PENDING_MSGS", "10000000", "PENDING_BYTES", "1000000000", "STALL_TIMEOUT", "10m",
		"HEARTBEAT_INTERVAL", "100ms",
	}, settings...)
}

// contrast is two edges on one log that differ in one setting. A client of each
// on the topic a does the same: that of tight is to be cut, that of loose not.
type contrast struct {
	*rig
	tight, loose *edge
	cut, kept    *streamtest.Client
}

func newContrast(t *testing.T, r *rig, q streamtest.Query, name, tight, loose string, both ...string) *contrast {
	t.Helper()
	q.Topics, q.RecvBuf = []string{"a"}, receiveBuffer
	c := &contrast{rig: r}
	c.tight = r.edge(t, noLimits(append(both, name, tight)...)...)
	c.loose = r.edge(t, noLimits(append(both, name, loose)...)...)
	c.cut, c.kept = c.tight.open(q), c.loose.open(q)
	return c
}

// stays wants that the client of loose is not cut, although that of tight was,
// and reads all from then on. A limit that is over on both edges cuts within
// the heartbeats.
func (c *contrast) stays(t *testing.T) {
	t.Helper()
	c.loose.beats(c.loose.live("nothing"))
	require.Empty(t, c.loose.ends("a"))
	var j streamtest.Journal
	require.NoError(t, j.Read(c.kept, streamtest.At(c.log.Last().Seq)))
	require.NoError(t, j.Compare(c.log.Match(0)))
}

// pending is the test of PENDING_MSGS and PENDING_BYTES: the clients do not
// read while events come.
func pending(t *testing.T, name, tight, loose string) {
	c := newContrast(t, newRig(t), streamtest.Query{}, name, tight, loose)
	c.log.Pad = 1000
	c.cut.System(t, "open")
	c.publishUntilEnd(c.tight, "a")
	c.tight.waitEnd("a", "slow")
	c.log.PublishN(1500, "a") // over the defaults, which cut the other one too
	c.stays(t)
}

// publishUntilEnd publishes until a stream of the topic has ended.
func (r *rig) publishUntilEnd(e *edge, topic string) {
	e.t.Helper()
	e.Eventually(func() bool {
		r.log.PublishN(20, topic)
		return len(e.ends(topic)) > 0
	})
}

func testPendingMsgs(t *testing.T) { pending(t, "PENDING_MSGS", "5", "1000000") }

func testPendingBytes(t *testing.T) { pending(t, "PENDING_BYTES", "5000", "1000000000") }

// testStallTimeout has clients that do not read what they have asked for.
func testStallTimeout(t *testing.T) {
	r := newRig(t)
	r.log.Pad = 1000
	r.log.PublishN(1000, "a")
	c := newContrast(t, r, streamtest.Query{LastID: r.log.ID(0)}, "STALL_TIMEOUT", aStall, "10m")
	c.tight.waitEnd("a", "stalled")
	c.stays(t)
}

// testMinRate has clients that read 50 KB/s at most, of events of 900 KB. Within
// STALL_TIMEOUT that is far below one rate and far above the other.
func testMinRate(t *testing.T) {
	const events = 2
	r := newLargeRig(t)
	r.log.PublishN(events, "a")
	start := func(rate string) (*edge, net.Conn) {
		e := r.edge(t, noLimits("STALL_TIMEOUT", "3s", "MAX_EVENT_BYTES", "1000000", "SNDBUF", "4096", "MIN_RATE", rate)...)
		conn, err := streamtest.Dial(e.URL(), streamtest.Query{Topics: []string{"a"}, LastID: r.log.ID(0), RecvBuf: receiveBuffer})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(natstest.Patience)))
		return e, conn
	}
	tight, cut := start("1000000")
	loose, kept := start("1")
	taken, sip := 0, make([]byte, 1000)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(natstest.Patience); len(tight.ends("a")) == 0; <-tick.C {
		require.Less(t, time.Now(), deadline, "it is not cut")
		_, _ = cut.Read(sip) // an error is the cut
		n, err := kept.Read(sip)
		require.NoError(t, err)
		taken += n
	}
	tight.waitEnd("a", "stalled")
	rest := make([]byte, cmdtest.Large*events-taken)
	_, err := io.ReadFull(kept, rest)
	require.NoError(t, err)
	require.Empty(t, loose.ends("a"))
}
