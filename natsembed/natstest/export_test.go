package natstest

import (
	"testing"
	"time"
)

// CheckGoroutinesWithin is CheckGoroutines with less patience.
var CheckGoroutinesWithin = checkGoroutines

// ReceiveWithin is Receive with less patience.
func ReceiveWithin[T any](tb testing.TB, from <-chan T, within time.Duration) T {
	return receive(tb, from, within)
}
