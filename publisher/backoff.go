package publisher

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackOff is how long to wait between attempts: from 50 ms to 1 s, each
// half as much again, spread by half.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, time.Second
	b.Reset()
	return b
}

// NewBackOff waits between attempts as a Publisher does, and ends with a last
// attempt when timeout has passed since its creation.
func NewBackOff(timeout time.Duration) backoff.BackOff {
	return &untilTimeout{BackOff: newBackOff(), end: time.Now().Add(timeout)}
}

type untilTimeout struct {
	backoff.BackOff
	end time.Time
}

func (u *untilTimeout) NextBackOff() time.Duration {
	left := time.Until(u.end)
	if left <= 0 {
		return backoff.Stop
	}
	return min(u.BackOff.NextBackOff(), left)
}
