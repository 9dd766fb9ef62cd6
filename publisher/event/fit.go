package event

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnfit is what every JetStream stream gives that cannot be an event log. It
// does not pass by itself: its operator has to change the stream, or STREAM has
// to name another one.
var ErrUnfit = errors.New("cannot be an event log")

// fewestConsumers is what an edge cannot do without: its reader and one replay.
const fewestConsumers = 2

// CheckReadable reports why an edge that reads these topic filters (none is
// everything) cannot serve a stream. The error wraps ErrUnfit and says what to
// change.
func CheckReadable(cfg *jetstream.StreamConfig, filters ...string) error {
	if len(filters) == 0 {
		filters = []string{">"}
	}
	if cfg.Mirror != nil && cfg.Metadata[metadataEpoch] == "" {
		// Its own creation would be the epoch: every id of the origin would be
		// another log's.
		return unfit(cfg, "it is a mirror without the metadata \"epoch\": set it to the origin's epoch (Unix milliseconds)")
	}
	if err := checkRetention(cfg); err != nil {
		return err
	}
	return checkSubjects(cfg, filters)
}

// checkRetention wants a log: what one reads is there for the others.
func checkRetention(cfg *jetstream.StreamConfig) error {
	switch {
	case cfg.Retention != jetstream.LimitsPolicy:
		return unfit(cfg, fmt.Sprintf("its retention is %s, so what one client reads is gone for the others: create it with limits retention",
			strings.ToLower(cfg.Retention.String())))
	case cfg.MaxConsumers > 0 && cfg.MaxConsumers < fewestConsumers:
		return unfit(cfg, fmt.Sprintf("it allows %d consumer (max_consumers), an edge needs one and each replay another: raise it", cfg.MaxConsumers))
	}
	return nil
}

// CheckWritable reports why a publisher cannot use a stream. The error wraps
// ErrUnfit and says what to change.
func CheckWritable(cfg *jetstream.StreamConfig) error {
	switch {
	case cfg.Mirror != nil:
		return unfit(cfg, "it is a mirror, which only its origin can be published to: publish there")
	case cfg.Sealed:
		return unfit(cfg, "it is sealed and takes no more events")
	case cfg.NoAck:
		return unfit(cfg, "it acknowledges nothing (no_ack), so nothing would be known to be stored: set no_ack to false")
	}
	if !slices.ContainsFunc(cfg.Subjects, storesEvents) {
		return unfit(cfg, fmt.Sprintf("its subjects are %s, and none is of %s: add it, or name another stream",
			clip(strings.Join(cfg.Subjects, ", ")), AllSubjects))
	}
	return checkRetention(cfg)
}

// storesEvents reports whether a subject of a stream takes some events, maybe
// those of a part of the topics.
func storesEvents(subject string) bool {
	first, _, more := strings.Cut(subject, ".")
	return first == ">" || more && (first == "*" || first+"." == SubjectPrefix)
}

// checkSubjects wants what is stored to be what is asked for. A mirror, or a
// stream that only gathers others, has no subjects of its own.
func checkSubjects(cfg *jetstream.StreamConfig, filters []string) error {
	if len(cfg.Subjects) == 0 {
		return nil
	}
	for _, f := range filters {
		subject := Subject(f)
		if !slices.ContainsFunc(cfg.Subjects, func(s string) bool { return Covers(s, subject) }) {
			return unfit(cfg, fmt.Sprintf("its subjects are %s, which do not cover %s: add it, or name another stream",
				clip(strings.Join(cfg.Subjects, ", ")), subject))
		}
	}
	return nil
}

func unfit(cfg *jetstream.StreamConfig, why string) error {
	return fmt.Errorf("the JetStream stream %s (STREAM) %w: %s", cfg.Name, ErrUnfit, why)
}

// IsCompacted reports whether a stream keeps only so many events of each subject.
// Whoever reads it later may lack older ones, and nothing tells which. What
// roll-ups, deletes and purges of a subject remove cannot be seen in advance.
func IsCompacted(cfg *jetstream.StreamConfig) bool { return cfg.MaxMsgsPerSubject > 0 }

// Compaction says what IsCompacted means, "" for a stream that is not.
func Compaction(cfg *jetstream.StreamConfig) string {
	if !IsCompacted(cfg) {
		return ""
	}
	return fmt.Sprintf("it keeps only the newest %d events of each subject (max_msgs_per_subject): clients that were away may lack older ones without a gap, and are told so by \"compacted\":true",
		cfg.MaxMsgsPerSubject)
}

// Surprises are the ways in which a stream that exists differs from what is
// asked for, or from a log of every event, each in a sentence; want is as StreamConfig makes it. The stream is
// used all the same: its operator's settings win.
func Surprises(got, want *jetstream.StreamConfig) (all []string) {
	differ := func(setting string, is, asked any) {
		if is != asked {
			all = append(all, fmt.Sprintf("%s asks for %v, the stream has %v", setting, asked, is))
		}
	}
	differ("STREAM_MAX_AGE", got.MaxAge, want.MaxAge)
	differ("STREAM_MAX_BYTES", got.MaxBytes, want.MaxBytes)
	differ("STREAM_DUPLICATES", got.Duplicates, want.Duplicates)
	differ("STREAM_REPLICAS", got.Replicas, want.Replicas)
	if got.MaxMsgSize > 0 && got.MaxMsgSize < want.MaxMsgSize {
		all = append(all, fmt.Sprintf("MAX_EVENT_BYTES asks for events of up to %d bytes with their headers, the stream takes %d",
			want.MaxMsgSize, got.MaxMsgSize))
	}
	if text := Compaction(got); text != "" {
		all = append(all, text)
	}
	return all
}
