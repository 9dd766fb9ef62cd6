package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/functions/logging"
	"sluice/publisher/event"
)

const (
	// A dead connection is noticed after pingInterval * maxPingsOut.
	pingInterval = 10 * time.Second
	maxPingsOut  = 2
	dialTimeout  = 2 * time.Second
	// Between two rounds of the servers; with the jitter, a fleet does not
	// come back in one moment.
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
	// drainWait is how long Close waits for what is under way.
	drainWait = time.Second

	// streamTimeout bounds one look-up or creation of the stream: during an
	// election nobody answers, and it is better asked again.
	streamTimeout = 2 * time.Second
	firstRetry    = 100 * time.Millisecond
	lastRetry     = time.Second
	// quietFor is how long a complaint that repeats itself is not repeated.
	quietFor = 30 * time.Second
)

// ConnectOptions are the options of a process's connection to NATS: it comes
// up whenever NATS does, stays for ever, and tells log how it goes. servers is
// NATS_URL without secrets.
func ConnectOptions(name, servers string, logger *slog.Logger) []nats.Option {
	var failing complaint
	var reports logging.Seldom
	return []nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // wrong credentials may be mended on the server's side
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// A question that waits for NATS is out of date when it is asked.
		nats.ReconnectBufSize(-1),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.DrainTimeout(drainWait),
		nats.ConnectHandler(func(c *nats.Conn) {
			failing.over()
			logger.Info("connected to NATS", "url", servers, "server", c.ConnectedServerName())
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			failing.over()
			logger.Info("reconnected to NATS", "url", servers, "server", c.ConnectedServerName())
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is the end of the process
				logger.Warn("disconnected from NATS", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if failing.due() {
				logger.Warn("NATS is not reachable, trying on; until it is, this process is live but not ready", "NATS_URL", servers, "err", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if times, ok := reports.Turn("report"); ok {
				logger.Warn("NATS reports", "err", err, "times", times)
			}
		}),
	}
}

// Close lets what is under way on the connection end, for a second at most,
// and closes it.
func Close(conn *nats.Conn) {
	closed := conn.StatusChanged(nats.CLOSED)
	defer conn.RemoveStatusListener(closed)
	if conn.Drain() == nil {
		select {
		case <-closed:
		case <-time.After(drainWait):
		}
	}
	conn.Close()
}

// complaint is something that goes on going wrong. The zero value is ready.
type complaint struct{ last atomic.Int64 }

// due reports whether it is time to say it (again).
func (c *complaint) due() bool {
	now, last := time.Now().UnixNano(), c.last.Load()
	return now-last >= int64(quietFor) && c.last.CompareAndSwap(last, now)
}

func (c *complaint) over() { c.last.Store(0) }

// ensureStream waits until the JetStream stream is there, and creates it when
// it is missing and may be created. It reports false when ctx has ended.
func (a *app) ensureStream(ctx context.Context) bool {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstRetry, lastRetry
	var failing complaint
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if !a.Conn.IsConnected() {
			return struct{}{}, nats.ErrDisconnected
		}
		return struct{}{}, a.denial.explained(a.lookUpStream(ctx))
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		if !errors.Is(err, nats.ErrDisconnected) && failing.due() {
			a.Logger.Error("the event log cannot be used yet, trying on", "err", err)
		}
	}))
	return err == nil
}

func (a *app) lookUpStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	name := a.Settings.Log.Stream
	if a.CreateStream {
		want := event.StreamConfig(name, a.Settings.Log.Limits(a.Replicas))
		info, err := event.EnsureStream(ctx, a.js, want)
		if err != nil {
			return fmt.Errorf("%w (may the NATS user create streams? If not, create %s and set CREATE_STREAM=false; is JetStream enabled, and STREAM_REPLICAS not above the number of servers?)", err, name)
		}
		a.surprised(event.Surprises(&info.Config, &want)...)
		return nil
	}
	s, err := a.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("the JetStream stream %s (STREAM) does not exist: create it, or set CREATE_STREAM=true", name)
	case err != nil:
		return fmt.Errorf("look up the JetStream stream %s (STREAM): %w", name, err)
	}
	if text := event.Compaction(&s.CachedInfo().Config); text != "" {
		a.surprised(text)
	}
	return nil
}

// surprised warns, once, of what is not as one may expect of the stream.
func (a *app) surprised(all ...string) {
	a.surprises.Do(func() {
		for _, s := range all {
			a.Logger.Warn("the stream is used as it is", "stream", a.Settings.Log.Stream, "but", s)
		}
	})
}
