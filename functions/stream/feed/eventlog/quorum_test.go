package eventlog_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func peer(active time.Duration, current bool) *jetstream.PeerInfo {
	return &jetstream.PeerInfo{Active: active, Current: current}
}

// TestQuorum has what nats-server 2.15 was seen to answer.
func TestQuorum(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	led := func(peers ...*jetstream.PeerInfo) *jetstream.ClusterInfo {
		return &jetstream.ClusterInfo{Leader: "node0", Replicas: peers}
	}
	pending := &jetstream.PeerInfo{Pending: true}
	for _, tt := range []struct {
		name     string
		replicas int
		cluster  *jetstream.ClusterInfo
		err      string
	}{
		{"a server without a cluster", 1, nil, ""},
		{"one replica in a cluster", 1, led(), ""},
		{"a quiet cluster", 3, led(peer(time.Second, true), peer(1900*time.Millisecond, true)), ""},
		{"a busy one, in which one follower lags", 3, led(peer(1, true), peer(time.Millisecond, false)), ""},
		{"both lag and are heard from", 3, led(peer(1, false), peer(1, false)), ""},
		{"one follower restarts", 3, led(peer(1, true), peer(20*time.Second, false)), ""},
		{"one follower has never been heard from", 3, led(peer(1, true), peer(0, false)), ""},
		{"two of five are gone", 5, led(peer(1, true), peer(1, true), peer(hour, false), peer(hour, false)), ""},
		{"as long as nobody else can lead", 3, led(peer(3*time.Second, true), peer(hour, false)), ""},
		{"another one may lead", 3, led(peer(3001*time.Millisecond, true), peer(3001*time.Millisecond, true)), "node0 has heard from 0 of its 2 followers within 3s"},
		{"cut off", 3, led(peer(30*time.Second, false), peer(30*time.Second, false)), "node0 has heard from 0 of its 2 followers within 3s"},
		{"a new leader has not heard from anybody", 3, led(peer(0, true), peer(0, false)), "node0 has heard from 0 of its 2 followers within 3s"},
		{"two of four are not most of them", 4, led(peer(1, true), peer(hour, true), peer(hour, true)), "node0 has heard from 1 of its 3 followers within 3s"},
		{"three of five are gone", 5, led(peer(1, true), peer(hour, false), peer(hour, false), peer(hour, false)), "node0 has heard from 1 of its 4 followers within 3s"},
		{"it has given up", 3, &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(1, false), peer(1, false), peer(1, true)}}, "it knows no leader"},
		{"the first of what will be three", 3, led(pending, pending), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := eventlog.CheckQuorum(&jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: tt.replicas}, Cluster: tt.cluster})
			if tt.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, eventlog.ErrNoQuorum)
			assert.ErrorContains(t, err, tt.err)
			assert.True(t, eventlog.Unanswered(err))
		})
	}
}

// TestQuietClusterHasAQuorum while nothing is written and while one of three
// nodes is away, for longer than a leader may go without contact.
func TestQuietClusterHasAQuorum(t *testing.T) {
	t.Parallel()
	c := natstest.StartCluster(t, 3)
	feedtest.CreateStream(t, c.JetStream(t), func(cfg *jetstream.StreamConfig) { cfg.Replicas = 3 })
	leader := c.StreamLeader(event.DefaultStream)
	l, err := eventlog.New(c.Node(leader).Connect(t), "", event.DefaultStream, "test")
	require.NoError(t, err)
	quiet := func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for range 40 {
			_, err := l.Ask(natstest.Context(t))
			require.NoError(t, err)
			natstest.Receive(t, ticks.C)
		}
	}
	quiet()
	c.Node((leader + 1) % 3).Stop()
	quiet()
}

// TestSilentServerIsLeft when another one is known: its connection is up, and it
// answers no question about the log.
func TestSilentServerIsLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		another bool
	}{{"another server is known", true}, {"no other server is known", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log := feedtest.NewLog(t)
			other := natstest.Start(t)
			feedtest.CreateStream(t, other.JetStream(t))
			line := feedtest.NewLine(t, log.Server, nats.DontRandomize(), func(o *nats.Options) error {
				if tt.another {
					o.Servers = append(o.Servers, other.URL())
				}
				return nil
			})
			l, err := eventlog.New(line.Conn, "", event.DefaultStream, "test")
			require.NoError(t, err)
			ctx := natstest.Context(t)
			_, err = l.Ask(ctx)
			require.NoError(t, err)
			line.Out(func(p feedtest.Packet) bool { return p.Subject != infoSubject })
			moved := false
			began := time.Now()
			for asked := 0; time.Since(began) < 7*time.Second && !moved; asked++ {
				_, err = l.Ask(ctx)
				require.True(t, eventlog.Unanswered(err), "%v", err)
				var left string
				if left, moved = l.MoveOn(); moved {
					assert.Equal(t, "natstest", left)
					assert.GreaterOrEqual(t, time.Since(began), 5*time.Second, "not at once")
				}
			}
			require.Equal(t, tt.another, moved)
			line.Out(nil)
			if moved {
				require.Eventually(t, func() bool { return line.Conn.ConnectedUrl() == other.URL() }, natstest.Patience, time.Millisecond)
				_, moved = l.MoveOn()
				assert.False(t, moved, "the next one gets its time")
			}
			_, err = l.State(ctx, time.Now())
			require.NoError(t, err)
		})
	}
}
