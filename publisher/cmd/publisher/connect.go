package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"sluice/functions/settings"
	"sluice/publisher/internal/retry"
)

const (
	dialTimeout  = 2 * time.Second // one attempt at one server
	writeTimeout = 10 * time.Second
	pingInterval = 10 * time.Second // two without an answer: reconnect
	maxPingsOut  = 2
	// reconnectWait and its jitter pass between two rounds of the servers.
	reconnectWait   = 100 * time.Millisecond
	reconnectJitter = 200 * time.Millisecond
)

// connect tries to reach NATS until CONNECT_TIMEOUT. The connection then
// reconnects for ever; the publisher decides when to give up.
func connect(ctx context.Context, cfg *settings.Publisher, logger *slog.Logger) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("sluice-publisher " + cfg.ProducerName()),
		nats.Timeout(dialTimeout),
		nats.FlusherTimeout(writeTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1), // see publisher.Options.Conn
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger.Debug("NATS reports", "err", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is the end of the run
				logger.Warn("disconnected from NATS", "err", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			logger.Info("reconnected to NATS", "url", c.ConnectedUrlRedacted())
		}),
	}
	own, err := cfg.NATS.Options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, own...)
	where := cfg.NATS.Servers()
	conn, err := backoff.Retry(ctx, func() (*nats.Conn, error) {
		conn, err := nats.Connect(cfg.NATS.URL, opts...)
		if err != nil && !mayConnect(err) {
			err = backoff.Permanent(err)
		}
		return conn, err
	},
		backoff.WithBackOff(retry.Until(cfg.Publish.ConnectTimeout)),
		backoff.WithMaxElapsedTime(0), // the back-off knows
		backoff.WithNotify(func(err error, wait time.Duration) {
			logger.Warn("NATS is not reachable, trying again", "NATS_URL", where, "err", err,
				"wait", wait.Round(time.Millisecond), "CONNECT_TIMEOUT", cfg.Publish.ConnectTimeout)
		}))
	switch {
	case err == nil:
		return conn, nil
	case mayConnect(err):
		return nil, fmt.Errorf("NATS at %s (NATS_URL) was not reachable within %s (CONNECT_TIMEOUT): %w", where, cfg.Publish.ConnectTimeout, err)
	default:
		if errors.Is(err, nats.ErrAuthorization) {
			err = fmt.Errorf("%w; set NATS_URL=nats://user:password@host:port or NATS_CREDS, or run in the directory of local, if that has a NATS_PASSWORD", err)
		}
		return nil, fmt.Errorf("NATS at %s (NATS_URL, NATS_CREDS) cannot be used: %w", where, err)
	}
}

// mayConnect reports whether another attempt could succeed: the servers are
// away, rather than the settings wrong.
func mayConnect(err error) bool {
	var network net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, io.EOF) || errors.As(err, &network)
}
