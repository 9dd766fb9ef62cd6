package health

import "time"

// Hurry makes h look often whether the producers' bucket is another one, and
// wait for NATS only shortly.
func Hurry(h *Health) {
	h.producers.check, h.producers.timeout = 50*time.Millisecond, 500*time.Millisecond
}
