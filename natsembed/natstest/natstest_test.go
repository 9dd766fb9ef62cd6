package natstest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

func TestMain(m *testing.M) {
	natstest.RunNodeIfAsked()
	os.Exit(m.Run())
}

// publish stores one message; it is sent again until a leader acknowledges it.
func publish(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "s", []byte("x"), jetstream.WithMsgID(t.Name()))
		return err == nil
	}, natstest.Patience, 10*time.Millisecond)
}

func createStream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: replicas})
	require.NoError(t, err)
}

func lastSeq(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	return s.CachedInfo().State.LastSeq
}

func TestServerRestartKeepsAddressDataAndClients(t *testing.T) {
	natstest.CheckGoroutines(t)
	s := natstest.Start(t)
	js := s.JetStream(t)
	createStream(t, js, 1)
	publish(t, js)
	url := s.URL()
	s.Stop()
	s.Restart()
	assert.Equal(t, url, s.URL())
	require.Eventually(t, js.Conn().IsConnected, natstest.Patience, time.Millisecond)
	assert.EqualValues(t, 1, lastSeq(t, js))
}

func TestClusterOutlivesItsLeader(t *testing.T) {
	natstest.CheckGoroutines(t)
	c := natstest.StartCluster(t, 3)
	js := c.JetStream(t)
	createStream(t, js, 3)
	leader := c.StreamLeader("S")
	c.Node(leader).Stop()
	publish(t, js)
	assert.NotEqual(t, leader, c.StreamLeader("S"))
	c.Restart(leader)
	assert.EqualValues(t, 1, lastSeq(t, js))
	assert.Len(t, c.URLs(), 3)
}

// TestLinkedClusterIsCutAndHealed: what the others store does not reach a node
// that is cut off until the cut ends.
func TestLinkedClusterIsCutAndHealed(t *testing.T) {
	natstest.CheckGoroutines(t)
	c, links := natstest.StartLinkedCluster(t, 3)
	js := c.JetStream(t)
	createStream(t, js, 3)
	leader := c.StreamLeader("S")
	cut := (leader + 1) % 3
	kept := func() uint64 {
		all, err := c.Node(cut).Embedded().NATS().Jsz(&server.JSzOptions{Account: "$G", Streams: true})
		require.NoError(t, err)
		return all.AccountDetails[0].Streams[0].State.LastSeq
	}
	others, err := jetstream.New(c.Node(leader).Connect(t, nats.IgnoreDiscoveredServers()))
	require.NoError(t, err)
	store := func() {
		_, err := others.Publish(natstest.Context(t), "s", nil)
		require.NoError(t, err)
	}
	for seq := uint64(1); seq <= 4; seq += 2 { // a cut must hold again after it was healed
		store()
		require.Eventually(t, func() bool { return kept() == seq }, natstest.Patience, time.Millisecond)
		links.Isolate(cut)
		store()
		assert.Equal(t, seq, kept())
		links.Heal()
		require.Eventually(t, func() bool { return kept() == seq+1 }, natstest.Patience, time.Millisecond)
	}
}

func TestProcessClusterOutlivesAKilledLeader(t *testing.T) {
	natstest.CheckGoroutines(t)
	c := natstest.StartProcessCluster(t, 3)
	js := c.JetStream(t)
	createStream(t, js, 3)
	leader := c.StreamLeader(t, "S")
	c.Kill(leader)
	publish(t, js)
	assert.NotEqual(t, leader, c.StreamLeader(t, "S"))
	c.Restart(leader)
	assert.EqualValues(t, 1, lastSeq(t, js))
}

// failures records what a helper reports instead of failing the test.
type failures struct {
	testing.TB
	cleanup []func()
	said    []any
	failed  bool
}

func (f *failures) Helper()                      {}
func (f *failures) Cleanup(fn func())            { f.cleanup = append(f.cleanup, fn) }
func (f *failures) Error(args ...any)            { f.said = append(f.said, args...) }
func (f *failures) FailNow()                     { f.failed = true; runtime.Goexit() }
func (f *failures) Errorf(_ string, args ...any) { f.said = append(f.said, args...) }

func TestCheckGoroutinesShowsWhatIsLeft(t *testing.T) {
	f := &failures{TB: t}
	natstest.CheckGoroutinesWithin(f, 50*time.Millisecond)
	stop := make(chan struct{})
	go leftOver(stop)
	f.cleanup[0]()
	close(stop)
	require.Len(t, f.said, 1)
	assert.Contains(t, fmt.Sprint(f.said[0]), "natstest_test.leftOver")
}

func TestCheckGoroutinesShowsAServerThatRuns(t *testing.T) {
	f := &failures{TB: t}
	natstest.CheckGoroutinesWithin(f, 50*time.Millisecond)
	server := natstest.Start(t)
	f.cleanup[0]()
	require.Len(t, f.said, 1)
	assert.Contains(t, fmt.Sprint(f.said[0]), "AcceptLoop")

	f.said = nil
	server.Stop()
	f.cleanup[0]()
	assert.Empty(t, f.said)
}

func TestReceiveFailsWhereNothingComes(t *testing.T) {
	closed := make(chan int, 1)
	closed <- 7
	close(closed)
	assert.Equal(t, 7, natstest.Receive(t, closed))
	assert.Zero(t, natstest.Receive(t, closed))

	f := &failures{TB: t}
	natstest.Await(t, func() {
		var ended sync.WaitGroup
		ended.Go(func() { natstest.ReceiveWithin(f, make(chan int), time.Millisecond) })
		ended.Wait()
	})
	require.True(t, f.failed)
	assert.Contains(t, fmt.Sprint(f.said...), "nothing is received")
}

func leftOver(stop chan struct{}) { <-stop }
