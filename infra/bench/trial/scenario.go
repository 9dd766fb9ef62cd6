// Package trial puts one server under one load and measures how it does.
//
// A trial connects its clients, leaves them idle to see what they cost in
// memory, publishes on an absolute schedule (package pace) and measures in a
// window after a warm-up: deliveries per second, the server's CPU time per
// delivery, latency from the scheduled time. It ends with a check that every
// client has every event once and in order. Where the load generator itself
// was late the result is void.
package trial

import (
	"errors"
	"fmt"
	"time"

	"sluice/infra/bench/stamp"
)

// Scenario is one load.
type Scenario struct {
	Name      string
	Clients   int
	Rate      float64 // events per second, over all topics
	Payload   int     // bytes of padding in each event
	Warmup    time.Duration
	Duration  time.Duration // of the window that is measured
	OwnTopics bool          // a topic per client instead of one for all
	Stuck     int           // more clients, which never read

	ConnectRate float64       // connections per second
	Pending     int           // events on their way to the server without an acknowledgement
	Grace       time.Duration // for what is missing when all is published
	// MaxLag is how late the generator itself may be (99th percentile).
	MaxLag time.Duration

	// Storm, if set, takes the place of the window.
	Storm *Storm
}

// Storm is a reconnect storm.
type Storm struct {
	Behind  int           // events between a client's cursor and the newest
	Within  time.Duration // all clients come back in this time
	Staying int           // more clients, which stay connected; the latency is theirs
	Limit   time.Duration // for all to have caught up
}

// Check reports what is wrong with a scenario, by the flags that set it.
func (s *Scenario) Check() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.Clients >= 1, "--clients %d: at least 1", s.Clients)
	check(s.Rate > 0, "--rate %g: more than 0", s.Rate)
	check(s.Payload >= 0, "--payload %d: not negative", s.Payload)
	check(s.Warmup >= 0, "--warmup %s: not negative", s.Warmup)
	check(s.Duration >= time.Second && s.Duration <= maxDuration, "--duration %s: 1s to %s", s.Duration, maxDuration)
	check(s.Stuck >= 0, "--stuck %d: not negative", s.Stuck)
	check(s.ConnectRate > 0, "--connect-rate %g: more than 0", s.ConnectRate)
	check(s.Pending >= 1, "--pending %d: at least 1", s.Pending)
	check(s.Grace >= 0, "--grace %s: not negative", s.Grace)
	check(s.MaxLag > 0, "--max-lag %s: more than 0", s.MaxLag)
	check(s.Rate*s.published().Seconds() < stamp.MaxSeq-prefillMost, "--rate %g: at most %d events in one trial", s.Rate, stamp.MaxSeq-prefillMost)
	if w := s.Storm; w != nil {
		check(!s.OwnTopics, "--storm: not with --topics own")
		check(w.Behind >= 1 && w.Behind <= prefillMost, "--storm-behind %d: 1 to %d", w.Behind, prefillMost)
		check(w.Within > 0, "--storm-within %s: more than 0", w.Within)
		check(w.Staying >= 0, "--storm-staying %d: not negative", w.Staying)
		check(w.Limit >= w.Within && w.Limit <= maxDuration, "--storm-limit %s: at least --storm-within, at most %s", w.Limit, maxDuration)
	}
	return errors.Join(errs...)
}

const (
	maxDuration = 10 * time.Minute
	prefillMost = 100_000
	prefillRate = 5000 // events per second
	// idleTime passes before memory is measured.
	idleTime = time.Second
	// connectLimit is what connecting may take beyond its rate.
	connectLimit = 60 * time.Second
	// afterStorm is how long publishing goes on after a storm.
	afterStorm = time.Second
)

// published is the longest time for which events are published.
func (s *Scenario) published() time.Duration {
	if s.Storm != nil {
		return s.Warmup + s.Storm.Limit + afterStorm
	}
	return s.Warmup + s.Duration
}

// limit bounds a whole trial.
func (s *Scenario) limit() time.Duration {
	connect := time.Duration(float64(s.clients()+s.Stuck) / s.ConnectRate * float64(time.Second))
	return connect + connectLimit + idleTime + 2*s.published() + s.Grace + time.Minute
}

// clients is how many clients read.
func (s *Scenario) clients() int {
	if s.Storm != nil {
		return s.Clients + s.Storm.Staying
	}
	return s.Clients
}

// topics is how many topics there are.
func (s *Scenario) topics() int {
	if s.OwnTopics {
		return s.Clients
	}
	return 1
}

// topic is the name of topic i.
func (s *Scenario) topic(i int) string {
	if s.OwnTopics {
		return fmt.Sprintf("bench.c%d", i)
	}
	return "bench"
}
