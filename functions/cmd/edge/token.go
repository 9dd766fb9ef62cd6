package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/functions/access/revoked"
	"sluice/functions/access/rights"
	"sluice/functions/access/token"
	"sluice/functions/settings"
	"sluice/publisher/event"
)

// revokeTimeout bounds the whole of revoke.
const revokeTimeout = 10 * time.Second

// signToken prints a token. A grant that an edge would not understand is an error
// here.
func signToken(cfg *settings.Edge, stdout io.Writer) error {
	grant, o := map[string]any{}, cfg.Token
	for name, list := range map[string][]string{"subscribe": o.Subscribe, "deny": o.Deny, "publish": o.Publish} {
		var entries []any
		for _, entry := range list {
			entries = append(entries, entry)
		}
		if entries != nil {
			grant[name] = entries
		}
	}
	if _, err := rights.New(map[string]any{"sub": o.Sub, cfg.Access.JWTClaim: grant}, cfg.Access.JWTClaim); err != nil {
		return err
	}
	text, err := token.Sign(cfg.Access.JWTSecret, token.Order{
		Subject: o.Sub, Issuer: cfg.Access.JWTIssuer, Audience: cfg.Access.JWTAudience, For: o.For, Claim: cfg.Access.JWTClaim, Grant: grant,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}

// revoke puts a subject or a token on the list that every edge follows.
func revoke(ctx context.Context, cfg *settings.Edge, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	options, err := cfg.NATS.Options()
	if err != nil {
		return err
	}
	conn, err := nats.Connect(cfg.NATS.URL, options...)
	if err != nil {
		return fmt.Errorf("NATS at %s (NATS_URL, NATS_CREDS): %w", cfg.NATS.Servers(), err)
	}
	defer conn.Close()
	js, err := event.JetStream(conn, cfg.NATS.APIPrefix())
	if err != nil {
		return err
	}
	if cfg.NATS.CreateStream {
		if _, err := revoked.Ensure(ctx, js, cfg.NATS.Replicas); err != nil {
			return err
		}
	}
	key, what := revoked.SubjectKey(cfg.Revoke.Sub), "the subject "+cfg.Revoke.Sub
	if cfg.Revoke.ID != "" {
		key, what = revoked.TokenKey(cfg.Revoke.ID), "the token "+cfg.Revoke.ID
	}
	if err := revoked.Add(ctx, js, key, cfg.Revoke.For); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is revoked for %s\n", what, cfg.Revoke.For)
	return err
}
