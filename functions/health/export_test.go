package health

import "time"

// Discard is what a watcher of the producers ends with.
var Discard = discard

// Hurry makes h look often whether the producers' bucket is another one, and
// wait for NATS only shortly.
func Hurry(h *Health) {
	h.producers.check, h.producers.timeout = 50*time.Millisecond, 500*time.Millisecond
}
