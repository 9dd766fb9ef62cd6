package health

import "time"

// CheckBucketEvery makes h look often whether the bucket is another one.
func CheckBucketEvery(h *Health, every time.Duration) { h.producers.check = every }
