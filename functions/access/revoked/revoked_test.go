package revoked_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access/revoked"
	"sluice/natsembed/natstest"
)

func TestMain(m *testing.M) { natstest.RunAll(m) }

const patience = 30 * time.Second

// list is a List that runs, and what it told.
type list struct {
	*revoked.List
	js  jetstream.JetStream
	log *lockedBuffer

	mu    sync.Mutex
	added []string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, create bool) *list {
	t.Helper()
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	l := &list{js: srv.JetStream(t), log: &lockedBuffer{}}
	l.List = revoked.New(revoked.Config{
		Conn: nc, JS: l.js, Create: create, Replicas: 1, Logger: slog.New(slog.NewTextHandler(l.log, nil)),
	})
	l.Tell(func(key string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.added = append(l.added, key)
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}

func (l *list) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.added...)
}

// TestARevokedSubjectIsOnTheListUntilItsTimeIsOver: it is told once, and goes
// again when the key's time to live is over.
func TestARevokedSubjectIsOnTheListUntilItsTimeIsOver(t *testing.T) {
	l := start(t, true)
	alice, bob := revoked.SubjectKey("alice"), revoked.SubjectKey("bob")
	require.Eventually(t, func() bool { _, err := l.js.KeyValue(t.Context(), revoked.Bucket); return err == nil }, patience, 10*time.Millisecond)
	require.NoError(t, revoked.Add(t.Context(), l.js, alice, 2*time.Second))
	require.Eventually(t, func() bool { return l.Has(bob, alice) }, patience, time.Millisecond)
	assert.False(t, l.Has(bob))
	assert.Equal(t, []string{alice}, l.told())
	require.Eventually(t, func() bool { return !l.Has(alice) }, patience, 10*time.Millisecond)
	require.NoError(t, revoked.Add(t.Context(), l.js, alice, time.Hour))
	require.Eventually(t, func() bool { return len(l.told()) == 2 }, patience, time.Millisecond)
}

// TestAListThatIsThereIsReadAtTheStart: also one that was made anew.
func TestAListThatIsThereIsReadAtTheStart(t *testing.T) {
	l := start(t, false)
	require.Eventually(t, func() bool { return bytes.Contains([]byte(l.log.String()), []byte("revocations cannot be read")) }, patience, 10*time.Millisecond)
	_, err := revoked.Ensure(t.Context(), l.js, 1)
	require.NoError(t, err)
	key := revoked.TokenKey("7")
	require.NoError(t, revoked.Add(t.Context(), l.js, key, time.Hour))
	require.Eventually(t, func() bool { return l.Has(key) }, patience, 10*time.Millisecond)
	assert.Equal(t, []string{key}, l.told())
	assert.Equal(t, 1, bytes.Count([]byte(l.log.String()), []byte("revocations cannot be read")), "said once")
}

// TestAKeySaysNoName: and no subject can be written that is another's key.
func TestAKeySaysNoName(t *testing.T) {
	assert.Equal(t, "sub.2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90", revoked.SubjectKey("alice"),
		"printf alice | sha256sum")
	assert.NotEqual(t, revoked.SubjectKey("x"), revoked.TokenKey("x"))
}
