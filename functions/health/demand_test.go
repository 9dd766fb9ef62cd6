package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/functions/health"
)

// refreshes runs a Demand that may refresh once a second, is kept current for
// 150 ms after the last ask and takes work for a refresh. It notes when each
// refresh began.
func refreshes(t *testing.T, work time.Duration) (d *health.Demand, at func() []time.Duration) {
	var begun []time.Duration
	start := time.Now()
	d = health.NewDemand(func(context.Context) {
		begun = append(begun, time.Since(start))
		time.Sleep(work)
	}, func() time.Duration { return time.Second }, 150*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	return d, func() []time.Duration {
		cancel()
		<-ended
		return begun
	}
}

func TestRefreshedOnceAPauseWhileSomebodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, at := refreshes(t, 0)
		for range 320 {
			d.Ask()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		d.Ask()
		synctest.Wait()
		assert.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 63200 * time.Millisecond}, at(),
			"none while nobody asks")
	})
}

func TestWaitEndsWithTheRefreshOrItsLimit(t *testing.T) {
	for _, test := range []struct {
		name       string
		work, want time.Duration
	}{
		{"a quick refresh is waited for, then known", 100 * time.Millisecond, 100 * time.Millisecond},
		{"a slow one only up to the limit", 400 * time.Millisecond, 250 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, end := refreshes(t, test.work)
				waited := func() time.Duration {
					began := time.Now()
					d.Wait(t.Context(), 250*time.Millisecond)
					return time.Since(began)
				}
				assert.Equal(t, test.want, waited(), "nothing is known")
				time.Sleep(time.Second)
				assert.Zero(t, waited(), "fresh enough")
				time.Sleep(time.Minute)
				assert.Equal(t, test.want, waited(), "too old")
				end()
			})
		})
	}
}
