// Package revoked is the list of subjects and tokens whose leave was taken back
// before their tokens expire: the keys of a KV bucket, which every edge follows.
//
// List.Run follows the bucket and tells of what is new from its one goroutine, which
// must not be held up. The rest never blocks. Where the bucket is missing or may
// not be read nothing is revoked, and that is logged.
package revoked

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/functions/bucket"
	"sluice/publisher/event"
)

// Bucket is the KV bucket. A key is as SubjectKey or TokenKey make it; its value
// means nothing.
const Bucket = "sluice_revoked"

const (
	// maxBytes bounds a bucket that is created, to about 400,000 keys.
	maxBytes = 64 << 20
	// maxKeys is how many keys an edge knows at most, about 100 bytes each. More
	// are not: a bucket that Ensure made never holds as many.
	maxKeys = 1 << 20
	// markerTTL is how long the bucket remembers that a key has expired.
	markerTTL = time.Minute
)

// SubjectKey is the key that revokes all tokens of a subject. The subject is
// hashed, so that it may hold any character and a list says no names.
func SubjectKey(subject string) string { return "sub." + digest(subject) }

// TokenKey is the key that revokes the one token of that id (its claim jti).
func TokenKey(id string) string { return "jti." + digest(id) }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Config is what a List needs. Conn and JS must be set.
type Config struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	// Create lets Run create a missing bucket, with Replicas.
	Create   bool
	Replicas int
	Logger   *slog.Logger
}

// List is what is revoked, as the bucket said last. Make one with New.
type List struct {
	cfg    Config
	added  func(key string)
	told   bool            // that it cannot be read; Run's goroutine
	coming map[string]bool // while all is read; else nil; Run's goroutine

	mu   sync.RWMutex
	keys map[string]bool
}

// New is an empty list, until Run has read the bucket.
func New(cfg Config) *List { return &List{cfg: cfg, added: func(string) {}} }

// Tell has added called with each key that is new on the list. It must not block,
// and Tell is called before Run.
func (l *List) Tell(added func(key string)) { l.added = added }

// Has reports whether one of the keys is on the list.
func (l *List) Has(keys ...string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, key := range keys {
		if l.keys[key] {
			return true
		}
	}
	return false
}

// Run follows the bucket until ctx ends.
func (l *List) Run(ctx context.Context) {
	f := bucket.Follower{Conn: l.cfg.Conn, JS: l.cfg.JS, Name: Bucket}
	if l.cfg.Create {
		f.Create = func(ctx context.Context) (jetstream.KeyValue, error) { return Ensure(ctx, l.cfg.JS, l.cfg.Replicas) }
	}
	f.Run(ctx, follower{l})
}

// follower is the List as the bucket's reader.
type follower struct{ *List }

// Missing is part of bucket.Reader.
func (l follower) Missing() { l.replace(nil) }

// Begin is part of bucket.Reader: until all has come the old list holds.
func (l follower) Begin() { l.coming = map[string]bool{} }

// Apply is part of bucket.Reader.
func (l follower) Apply(e jetstream.KeyValueEntry) {
	key, revoked := e.Key(), e.Operation() == jetstream.KeyValuePut
	if l.coming != nil {
		if revoked && len(l.coming) < maxKeys {
			l.coming[key] = true
		} else {
			delete(l.coming, key)
		}
		return
	}
	l.mu.Lock()
	added := revoked && !l.keys[key] && len(l.keys) < maxKeys
	if added {
		l.keys[key] = true
	} else if !revoked {
		delete(l.keys, key)
	}
	l.mu.Unlock()
	if added {
		l.added(key)
	}
}

// Complete is part of bucket.Reader.
func (l follower) Complete() {
	if l.coming == nil {
		return
	}
	l.replace(l.coming)
	l.coming = nil
	if l.told {
		l.told = false
		l.cfg.Logger.Info("revocations are read again", "bucket", Bucket)
	}
}

// Failed is part of bucket.Reader.
func (l follower) Failed(err error) {
	if l.told || errors.Is(err, nats.ErrDisconnected) {
		return
	}
	l.told = true
	l.cfg.Logger.Warn("revocations cannot be read: a token counts until it expires. Create the bucket or set CREATE_STREAM=true, and let the NATS user read it, as infra/nats/nats.conf does",
		"bucket", Bucket, "err", err)
}

// replace has the list be keys, and tells of those that are new.
func (l *List) replace(keys map[string]bool) {
	if keys == nil {
		keys = map[string]bool{}
	}
	l.mu.Lock()
	old := l.keys
	l.keys = keys
	var added []string
	for key := range keys {
		if !old[key] {
			added = append(added, key)
		}
	}
	l.mu.Unlock()
	for _, key := range added {
		l.added(key)
	}
}

// Ensure returns the bucket, and creates it when there is none. It waits for NATS
// as long as ctx allows.
func Ensure(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.KeyValue, error) {
	return event.EnsureBucket(ctx, js, jetstream.KeyValueConfig{
		Bucket:         Bucket,
		Description:    "Subjects and tokens that Sluice refuses",
		LimitMarkerTTL: markerTTL,
		MaxBytes:       maxBytes,
		Replicas:       max(replicas, 1),
	})
}

// Add puts a key on the list for that long, at least a second; the bucket must be
// there. It is acknowledged when it returns nil.
func Add(ctx context.Context, js jetstream.JetStream, key string, ttl time.Duration) error {
	m := nats.NewMsg("$KV." + Bucket + "." + key)
	m.Header.Set(event.HeaderTTL, ttl.Truncate(time.Second).String())
	if _, err := js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("write to the KV bucket %s: %w", Bucket, err)
	}
	return nil
}
