package natstest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

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
