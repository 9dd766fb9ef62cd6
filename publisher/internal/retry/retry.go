// Package retry is how long a publisher and its command wait between two
// attempts.
package retry

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Forever is from 50 ms to 1 s between attempts, each wait half as long again
// as the one before, spread by half.
func Forever() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, time.Second
	b.Reset()
	return b
}

// Until is Forever that ends with a last attempt when timeout has passed since
// its creation.
func Until(timeout time.Duration) backoff.BackOff {
	return &until{BackOff: Forever(), end: time.Now().Add(timeout)}
}

type until struct {
	backoff.BackOff
	end time.Time
}

func (u *until) NextBackOff() time.Duration {
	left := time.Until(u.end)
	if left <= 0 {
		return backoff.Stop
	}
	return min(u.BackOff.NextBackOff(), left)
}
