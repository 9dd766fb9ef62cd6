package health_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestProcessWhoseFeedLagsIsNotReady(t *testing.T) {
	natstest.CheckGoroutines(t)
	s, js := startNATS(t)
	log := streamtest.NewLog(t, js)
	served := streamtest.Start(t, s.URL())
	limit := func(readyLag uint64) func(*health.Config) {
		return func(c *health.Config) {
			c.ReadyLag = readyLag
			c.Local = func() health.Local {
				f := served.Feed.Status()
				return health.Local{
					NATS: served.Conn.IsConnected(), Stream: event.DefaultStream, Present: f.Reading, Loaded: f.Loaded,
					FirstSeq: f.FirstSeq, LastSeq: f.LastSeq, Position: f.Position.Seq, Lag: f.Lag,
				}
			}
		}
	}
	const allowed = 10
	strict, lax := startEdge(t, s.Connect(t), limit(allowed)), startEdge(t, s.Connect(t), limit(1e6))
	ready := func(s state) bool { return s.code == http.StatusOK && s.Stream.Lag == 0 }
	strict.eventually(t, "the feed reads", ready)

	var p probe
	eventually(t, "the lag is seen", func() (bool, any) {
		// The feed mends itself by a new consumer; that one is paused too, and
		// has more to read.
		pauseConsumers(t, js, time.Now().Add(time.Hour))
		log.PublishN(allowed+1, "metric.cpu")
		p = strict.readyz(t)
		return len(p.Failing) == 1 && p.Failing["lag"] != "", p
	})
	assert.Equal(t, http.StatusServiceUnavailable, p.code)
	assert.Regexp(t, `^[1-9][0-9]+ events behind, READY_LAG allows 10$`, p.Failing["lag"])

	lax.eventually(t, "a lag that is allowed", func(s state) bool {
		pauseConsumers(t, js, time.Now().Add(time.Hour))
		log.PublishN(allowed+1, "metric.cpu")
		return s.Stream.Lag > allowed && s.code == http.StatusOK
	})

	pauseConsumers(t, js, time.Now())
	strict.eventually(t, "the feed has caught up", ready)
	assert.Equal(t, http.StatusOK, strict.readyz(t).code)
}

// pauseConsumers makes the server deliver nothing before until to the consumers
// that the log has now.
func pauseConsumers(t *testing.T, js jetstream.JetStream, until time.Time) {
	t.Helper()
	stream, err := js.Stream(t.Context(), event.DefaultStream)
	require.NoError(t, err)
	consumers := stream.ListConsumers(t.Context())
	for c := range consumers.Info() {
		_, err := stream.PauseConsumer(t.Context(), c.Name, until)
		if !errors.Is(err, jetstream.ErrConsumerNotFound) { // it may have ended meanwhile
			require.NoError(t, err)
		}
	}
	require.NoError(t, consumers.Err())
}
