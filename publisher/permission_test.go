package publisher_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed"
	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/event"
)

// jobUser connects a server's tests as the user that permit restricts.
type jobUser struct{ *natstest.Server }

func (u jobUser) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	return u.Server.Connect(tb, append(opts, nats.UserInfo("job", "job"))...)
}

// permit adds a user job that may publish and subscribe to no more than the
// subjects given; without a user a connection may do everything.
func permit(publish, subscribe []string) natstest.Option {
	return func(o *natsembed.Options) {
		o.Configure = func(so *server.Options) {
			so.Users = []*server.User{
				{Username: "root", Password: "root"},
				{Username: "job", Password: "job", Permissions: &server.Permissions{
					Publish:   &server.SubjectPermission{Allow: publish},
					Subscribe: &server.SubjectPermission{Allow: subscribe},
				}},
			}
			so.NoAuthUser = "root"
		}
	}
}

func TestPublisherNeedsNoMoreThanItsPermissions(t *testing.T) {
	srv := natstest.Start(t, permit(
		[]string{"events.>", "$KV.sluice_producers.>", "$JS.API.STREAM.INFO.EVENTS"}, []string{"_INBOX.>"}))
	js := srv.JetStream(t)
	_, err := event.EnsureStream(t.Context(), js, event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	kv, err := event.EnsureProducers(t.Context(), js, 1)
	require.NoError(t, err)

	p := start(t, jobUser{srv}, func(o *publisher.Options) { o.Create = false })
	sum, err := publisher.Run(t.Context(), p, &list{numbered(1), numbered(2)})
	require.NoError(t, err)
	assert.Equal(t, uint64(2), sum.Published)
	entry, err := kv.Get(t.Context(), event.DefaultProducer)
	require.NoError(t, err)
	assert.Contains(t, string(entry.Value()), `"state":"ok"`)
}

func TestPublisherNamesTheMissingPermission(t *testing.T) {
	all := []string{"events.>", "$KV.sluice_producers.>", "$JS.API.STREAM.INFO.EVENTS"}
	inbox := []string{"_INBOX.>"}
	for _, tt := range []struct {
		name               string
		publish, subscribe []string
		say                string
	}{
		{"to publish the topic", []string{"events.other", all[1], all[2]}, inbox, `Publish to "events.metric.m1"`},
		{"to ask for the stream", all[:2], inbox, `Publish to "$JS.API.STREAM.INFO.EVENTS"`},
		{"to get answers", all, []string{"none"}, `Subscription to "_INBOX.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := natstest.Start(t, permit(tt.publish, tt.subscribe))
			_, err := event.EnsureStream(t.Context(), srv.JetStream(t), event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
			require.NoError(t, err)

			began := time.Now()
			p, err := publisher.New(t.Context(), options(t, jobUser{srv}, func(o *publisher.Options) { o.Timeout = time.Hour }))
			if err == nil {
				_, err = publisher.Run(t.Context(), p, &list{numbered(1)})
				p.Close()
			}
			assert.ErrorIs(t, err, publisher.ErrRefused)
			assert.ErrorContains(t, err, tt.say)
			assert.ErrorContains(t, err, "NATS_CREDS")
			assert.Less(t, time.Since(began), natstest.Patience, "said at once, not after a timeout")
		})
	}
}

func TestRunGoesWithoutARecordThatIsRefused(t *testing.T) {
	srv := natstest.Start(t, permit([]string{"events.>", "$JS.API.STREAM.INFO.EVENTS"}, []string{"_INBOX.>"}))
	_, err := event.EnsureStream(t.Context(), srv.JetStream(t), event.StreamConfig(event.DefaultStream, event.StreamLimits{}))
	require.NoError(t, err)
	p := start(t, jobUser{srv})
	sum, err := publisher.Run(t.Context(), p, &list{numbered(1)})
	require.NoError(t, err)
	assert.Equal(t, uint64(1), sum.Published)
}
