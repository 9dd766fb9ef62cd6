package app

import (
	"context"
	"fmt"
	"sync"

	"sluice/functions/access"
	"sluice/functions/access/address"
	"sluice/functions/access/revoked"
	"sluice/functions/access/token"
)

// identities is what says who clients are; nothing of it is there with AUTH=none.
type identities struct {
	tokens  *token.Verifier
	revoked *revoked.List
}

// newGate makes the gate of all functions that serve clients, and tells how it is
// guarded.
func (a *app) newGate() (*access.Gate, error) {
	s := a.Settings
	addresses, err := address.New(s.Access.Proxies.Ranges(), s.Access.Proxies.ForwardedHeader)
	if err != nil {
		return nil, fmt.Errorf("FORWARDED_HEADER: %w", err)
	}
	a.Logger.Info("access", "who", s.Access.Describe())
	if cfg, ok := s.Access.Tokens(); ok {
		cfg.Logger, cfg.Registry = a.Logger, a.metrics
		if a.access.tokens, err = token.New(cfg); err != nil {
			return nil, err
		}
		a.access.revoked = revoked.New(revoked.Config{Conn: a.Conn, JS: a.js, Create: a.CreateStream, Replicas: a.Replicas, Logger: a.Logger})
	} else if !s.Server.Loopback() {
		a.Logger.Warn("whoever reaches this process may read every event: set AUTH=jwt, or let only those reach it who may", "HOST", s.Server.Host)
	}
	return access.NewGate(access.Config{
		MaxConnections: s.Server.MaxConnections,
		Tokens:         a.access.tokens,
		Claim:          s.Access.JWTClaim,
		Revoked:        a.access.revoked,
		Addresses:      addresses,
		PublishOpen:    s.Publish.Open,
		Limits:         s.ClientLimits(),
		Logger:         a.Logger,
		Registry:       a.metrics,
	}), nil
}

// run keeps the keys and the revocations fresh until ctx ends.
func (i *identities) run(ctx context.Context) {
	if i.tokens == nil {
		return
	}
	var all sync.WaitGroup
	all.Go(func() { i.tokens.Run(ctx) })
	all.Go(func() { i.revoked.Run(ctx) })
	all.Wait()
}
