package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certificateCheck is the time between two looks at the certificate's files.
const certificateCheck = time.Second

// certificate is TLS_CERT and TLS_KEY as they were read last.
type certificate struct {
	cert, key string
	logger    *slog.Logger
	seen      string // the files' times and sizes; of run
	current   atomic.Pointer[tls.Certificate]
}

// readCertificate reads the files; nil when there are none to read.
func (a *app) readCertificate() (*certificate, error) {
	s := &a.Settings.TLS
	if !s.On() {
		return nil, nil
	}
	c := &certificate{cert: s.Cert, key: s.Key, logger: a.Logger}
	c.seen = c.look()
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS_CERT %s and TLS_KEY %s: %w", c.cert, c.key, err)
	}
	c.current.Store(&pair)
	return nil
}

// look is by what a change of the files is seen.
func (c *certificate) look() (seen string) {
	for _, file := range []string{c.cert, c.key} {
		if info, err := os.Stat(file); err == nil {
			seen += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), " ")
		}
	}
	return seen
}

// run reads the files again when they have changed, until ctx ends. Files that do
// not go together, as in the middle of a change, leave the certificate as it is.
func (c *certificate) run(ctx context.Context) {
	check := time.NewTicker(certificateCheck)
	defer check.Stop()
	for {
		select {
		case <-check.C:
		case <-ctx.Done():
			return
		}
		seen := c.look()
		if seen == c.seen {
			continue
		}
		c.seen = seen
		if err := c.read(); err != nil {
			c.logger.Warn("the certificate has changed and cannot be used; the old one stays", "err", err)
			continue
		}
		c.logger.Info("the certificate was read again", "TLS_CERT", c.cert)
	}
}

// config is that of a server with it.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
