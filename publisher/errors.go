package publisher

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

var (
	// ErrClosed is what Publish returns after Close.
	ErrClosed = errors.New("publisher: closed")
	// ErrGaveUp is what ends a publisher whose events the log did not
	// acknowledge within Options.Timeout.
	ErrGaveUp = errors.New("publisher: gave up")
	// ErrRefused is what ends a publisher whose user lacks a permission.
	ErrRefused = errors.New("publisher: NATS refuses this user")
	// ErrUnacknowledged is what became of the events that were pending when
	// their publisher ended: the log may hold them or not.
	ErrUnacknowledged = errors.New("publisher: not acknowledged")
	// ErrFailed is what Flush returns when some event was not published.
	ErrFailed = errors.New("publisher: not every event was acknowledged")
)

// duplicateInProcess is JSStreamDuplicateMessageConflict of the NATS server:
// a replicated stream is still storing an event of the same message id.
const duplicateInProcess jetstream.ErrorCode = 10158

// inProcess reports whether err is duplicateInProcess.
func inProcess(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == duplicateInProcess
}

// passes reports whether an attempt that ended with err is worth another one:
// the connection, the stream's leader or its resources failed, not the event.
func passes(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= http.StatusInternalServerError ||
			api.Code == http.StatusTooManyRequests || inProcess(err)
	}
	return !errors.Is(err, nats.ErrMaxPayload) && !errors.Is(err, nats.ErrBadSubject) &&
		!errors.Is(err, nats.ErrHeadersNotSupported)
}

// refusal is the error of a permission that a publisher cannot do without, nil
// for anything else that NATS reports on the connection.
func refusal(err error) error {
	if !errors.Is(err, nats.ErrPermissionViolation) || refusesRecord(err) {
		return nil
	}
	return fmt.Errorf("%w: %w; grant it publish on %s, %s and $JS.API.STREAM.INFO.<stream> and subscribe on its inbox, or use another one (NATS_CREDS)",
		ErrRefused, err, event.AllSubjects, event.ProducerSubject("", ">"))
}

// refusesRecord reports whether err denies only the producer's record, which
// a publisher can do without.
func refusesRecord(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), event.ProducersBucket)
}
