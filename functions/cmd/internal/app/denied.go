package app

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// denialCounts is for how long a denial explains what fails: a request without a
// permission has no answer, and NATS tells why beside it.
const denialCounts = 30 * time.Second

// denial is the last permission that the NATS user lacks. The zero value is none.
type denial struct{ last atomic.Pointer[denied] }

type denied struct {
	what string
	at   time.Time
}

// watch has the connection tell it of denials.
func (d *denial) watch(conn *nats.Conn) {
	next := conn.ErrorHandler()
	conn.SetErrorHandler(func(c *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			d.last.Store(&denied{denialText(err), time.Now()})
		}
		if next != nil {
			next(c, sub, err)
		}
	})
}

// denialText says what is denied, and the remedy.
func denialText(err error) string {
	_, what, found := strings.Cut(err.Error(), "Permissions Violation for ")
	if !found {
		what = err.Error()
	}
	text := "the NATS user has no permission for " + what + ": grant it that, as infra/nats/nats.conf does"
	if strings.HasPrefix(what, "Subscription") {
		text += "; if it is an inbox, set NATS_INBOX_PREFIX to what the user may subscribe to"
	}
	return text
}

// lately is what was denied lately; "" for nothing.
func (d *denial) lately() string {
	if last := d.last.Load(); last != nil && time.Since(last.at) <= denialCounts {
		return last.what
	}
	return ""
}

// explain adds to a problem the permission that was denied lately.
func (d *denial) explain(problem string) string {
	if what := d.lately(); what != "" && problem != "" {
		return what + " (" + problem + ")"
	}
	return problem
}

// explained is explain for an error.
func (d *denial) explained(err error) error {
	if what := d.lately(); what != "" && err != nil {
		return fmt.Errorf("%s (%w)", what, err)
	}
	return err
}
