package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DefaultStream is the name of the JetStream stream that holds the log.
const DefaultStream = "EVENTS"

// The limits of a stream that is created, unless configured otherwise.
const (
	// DefaultMaxBytes is the largest payload of an event, in bytes as Size counts
	// them.
	DefaultMaxBytes = BlockBytes - BlockOverhead
	// DefaultMaxAge is how long events are kept.
	DefaultMaxAge = 24 * time.Hour
	// DefaultLogBytes is the size of the whole log.
	DefaultLogBytes = 1 << 30
	// DefaultDuplicates is the window in which a message id is stored once.
	DefaultDuplicates = 10 * time.Minute
	// DefaultReplicas is how many servers keep the log.
	DefaultReplicas = 1
)

// headerBytes is the room that the stream leaves for NATS headers beside the
// payload: MaxMsgSize counts both.
const headerBytes = 1 << 10

// metadataEpoch is the stream metadata key that overrides the epoch.
const metadataEpoch = "epoch"

// StreamLimits is what an operator may choose when the stream is created. The
// zero value of a field means its default.
type StreamLimits struct {
	MaxAge      time.Duration // retention, default DefaultMaxAge
	MaxBytes    int64         // of the whole log, default DefaultLogBytes
	MaxMsgBytes int           // of one payload, default DefaultMaxBytes
	Replicas    int           // default DefaultReplicas
	// Duplicates is the window in which a message id is stored once: default
	// DefaultDuplicates, MaxAge at most. NATS keeps the ids of all events in it
	// in memory, about 130 bytes each.
	Duplicates time.Duration
}

// StreamConfig is the configuration of an event log: file storage, limits
// retention (a client's reading removes nothing), S2 compression and direct
// reads.
func StreamConfig(name string, limits StreamLimits) jetstream.StreamConfig {
	maxAge := cmp.Or(limits.MaxAge, DefaultMaxAge)
	return jetstream.StreamConfig{
		Name:        name,
		Description: "Sluice event log",
		Subjects:    []string{AllSubjects},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      maxAge,
		MaxBytes:    cmp.Or(limits.MaxBytes, DefaultLogBytes),
		MaxMsgSize:  int32(cmp.Or(limits.MaxMsgBytes, DefaultMaxBytes)) + headerBytes,
		Duplicates:  min(cmp.Or(limits.Duplicates, DefaultDuplicates), maxAge),
		Replicas:    cmp.Or(limits.Replicas, DefaultReplicas),
		Compression: jetstream.S2Compression,
		AllowDirect: true,
	}
}

// EnsureStream returns the stream cfg.Name, and creates it as cfg says when
// there is none. A stream that exists is never changed: its operator's
// settings win. It waits for NATS as long as ctx allows.
func EnsureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	s, err := js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = js.Stream(ctx, cfg.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("create the JetStream stream %s: %w", cfg.Name, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look up the JetStream stream %s: %w", cfg.Name, err)
	}
	return s.CachedInfo(), nil
}

// Epoch is the epoch of a stream's ids: its metadata "epoch" (Unix
// milliseconds) where set, which mirrors and restored streams need, else the
// time of its creation.
func Epoch(info *jetstream.StreamInfo) (int64, error) {
	text, ok := info.Config.Metadata[metadataEpoch]
	if !ok {
		return info.Created.UnixMilli(), nil
	}
	epoch, err := strconv.ParseInt(text, 10, 64)
	if err != nil || epoch < 0 || epoch > MaxEpoch {
		return 0, fmt.Errorf("metadata epoch %q of the JetStream stream %s: want Unix milliseconds", clip(text), info.Config.Name)
	}
	return epoch, nil
}
