package trial

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/infra/bench/fleet"
	"sluice/infra/bench/pace"
	"sluice/infra/bench/peer"
	"sluice/infra/bench/stamp"
)

// trial is one that runs.
type trial struct {
	Scenario
	server *peer.Server
	clock  pace.Clock
	pub    peer.Publisher
	fleets []*fleet.Fleet  // one; in a storm a second, of the clients that stay
	names  []string        // of the topics
	newest []atomic.Uint32 // number of the newest event of each topic
	pace   pace.Progress
	result Result
}

// Run runs a scenario against a server that serves nobody else. It takes about
// Warmup, Duration and the time to connect; ctx ends it sooner. Its error is
// that of the trial; what the server did wrong is in the Result.
func Run(ctx context.Context, server *peer.Server, s Scenario) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit(), fmt.Errorf("the trial took longer than %s", s.limit()))
	defer cancel()
	t := &trial{
		Scenario: s, server: server, clock: pace.NewClock(),
		newest: make([]atomic.Uint32, s.topics()),
		result: Result{Server: server.Name, Scenario: s, CPU: CPU{PerDelivery: math.NaN(), Cores: math.NaN()}},
	}
	for i := range t.newest {
		t.names = append(t.names, s.topic(i))
	}
	if err := t.run(ctx); err != nil {
		return t.result, fmt.Errorf("%s, %s: %w", server.Name, s.Name, err)
	}
	return t.result, nil
}

func (t *trial) run(ctx context.Context) error {
	var err error
	if t.pub, err = t.server.Publisher(ctx, t.Pending); err != nil {
		return err
	}
	defer t.pub.Close()
	if err := t.prefill(ctx); err != nil {
		return err
	}
	clients, stop := context.WithCancel(ctx)
	running, clients := errgroup.WithContext(clients)
	defer stop()
	if err := t.newFleets(); err != nil {
		return err
	}
	for _, f := range t.fleets {
		running.Go(func() error { return f.Run(clients) })
	}
	err = t.load(ctx)
	stop()
	return errors.Join(err, running.Wait())
}

// newFleets makes the clients. In a storm those that stay have a thread of
// their own, so that their latency is the server's and not that of a thread
// which is busy with the others' replays.
func (t *trial) newFleets() error {
	cfg := fleet.Config{
		Server: t.server.Addr, Clients: t.Clients, Stuck: t.Stuck,
		ConnectRate: t.ConnectRate, IDs: t.server.IDs, Now: t.clock.Now,
		Topic:  func(client int) int { return client % len(t.names) },
		Path:   func(topic int) string { return t.server.Path(t.names[topic]) },
		Newest: func(topic int) uint32 { return t.newest[topic].Load() },
	}
	configs := []fleet.Config{cfg}
	if t.Storm != nil && t.Storm.Staying > 0 {
		cfg.Clients, cfg.Stuck = t.Storm.Staying, 0
		configs = append(configs, cfg)
	}
	for _, cfg := range configs {
		f, err := fleet.New(cfg)
		if err != nil {
			return err
		}
		t.fleets = append(t.fleets, f)
	}
	return nil
}

// measured are the clients whose latency counts.
func (t *trial) measured() *fleet.Fleet { return t.fleets[len(t.fleets)-1] }

// prefill publishes events for the clients of a storm to catch up with.
func (t *trial) prefill(ctx context.Context) error {
	if t.Storm == nil {
		return nil
	}
	if err := t.publish(ctx, ctx, pace.Schedule{Start: t.clock.Now(), Rate: prefillRate, Count: t.Storm.Behind}); err != nil {
		return err
	}
	return t.pub.Flush(ctx)
}

// publish publishes on a schedule. The end of publishing stops it between two
// events.
func (t *trial) publish(ctx, publishing context.Context, s pace.Schedule) error {
	return t.pace.Run(publishing, t.clock, s, func(n int, due int64) error {
		topic := n % len(t.names)
		seq := t.newest[topic].Load() + 1
		data := stamp.Append(make([]byte, 0, stamp.Around+t.Payload), due, seq, t.Payload)
		if err := t.pub.Publish(ctx, t.names[topic], data); err != nil {
			return err
		}
		t.newest[topic].Store(seq)
		return nil
	})
}

// load connects the clients, publishes and measures.
func (t *trial) load(ctx context.Context) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	start := t.clock.Now() + int64(100*time.Millisecond)
	publishing, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	measuring, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	published := make(chan error, 1)
	go func() {
		count := max(1, int(t.Rate*t.published().Seconds()))
		err := t.publish(ctx, publishing, pace.Schedule{Start: start, Rate: t.Rate, Count: count})
		if errors.Is(err, errEnough) {
			err = nil
		}
		if err != nil {
			fail(err) // there is nothing to measure any more
		}
		published <- err
	}()
	err := t.measure(measuring, start+int64(t.Warmup))
	if err != nil || t.Storm != nil {
		enough(errEnough)
	}
	if e := <-published; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return t.finish(ctx)
}

var errEnough = errors.New("enough is published")

// connect opens the clients and measures what memory they cost.
func (t *trial) connect(ctx context.Context) error {
	if err := t.wait(ctx, t.clock.Now()+int64(idleTime/2)); err != nil {
		return err
	}
	before, err := t.server.Usage(ctx)
	if err != nil {
		return err
	}
	for _, f := range t.fleets {
		if err := f.Connect(ctx); err != nil {
			return err
		}
	}
	if err := t.wait(ctx, t.clock.Now()+int64(idleTime)); err != nil {
		return err
	}
	idle, err := t.server.Usage(ctx)
	t.result.Memory.Before, t.result.Memory.Idle = before.RSS, idle.RSS
	return err
}

// measure watches the window that begins at from.
func (t *trial) measure(ctx context.Context, from int64) error {
	to := from + int64(t.Duration)
	if t.Storm != nil {
		to = math.MaxInt64
	}
	if err := t.measured().Measure(ctx, from, to); err != nil {
		return err
	}
	if err := t.wait(ctx, from); err != nil {
		return err
	}
	a, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	if t.Storm != nil {
		err = t.storm(ctx)
	} else {
		err = t.wait(ctx, to)
	}
	if err != nil {
		return err
	}
	b, err := t.snapshot(ctx)
	t.result.window(a, b, t.server.KnowsUsage())
	return err
}

// snapshot is the counts and the server's usage at one time.
type snapshot struct {
	fleet.Counts
	peer.Usage
}

func (t *trial) snapshot(ctx context.Context) (s snapshot, err error) {
	for _, f := range t.fleets {
		c, err := f.Counts(ctx)
		if err != nil {
			return s, err
		}
		s.Counts.Add(c)
	}
	s.Usage, err = t.server.Usage(ctx)
	return s, err
}

func (r *Result) window(a, b snapshot, usage bool) {
	seconds := float64(b.At-a.At) / 1e9
	n := float64(b.Deliveries - a.Deliveries)
	r.Throughput.PerSecond = n / seconds
	r.Throughput.Expected = r.Scenario.Rate * float64(r.Scenario.clients()/r.Scenario.topics())
	if n > 0 {
		r.Generator.CPU = (b.Counts.CPU - a.Counts.CPU).Seconds() * 1e6 / n
	}
	if usage {
		cpu := (b.Usage.CPU - a.Usage.CPU).Seconds()
		r.CPU.Cores = cpu / seconds
		if n > 0 {
			r.CPU.PerDelivery = cpu * 1e6 / n
		}
	}
}

// storm has the clients reconnect.
func (t *trial) storm(ctx context.Context) error {
	requests, err := peer.CountRequests(t.server.NATS)
	if err != nil {
		return err
	}
	defer requests.Close()
	s, err := t.fleets[0].Storm(ctx, t.Storm.Within, uint32(t.Storm.Behind), t.Storm.Limit)
	if err != nil {
		return err
	}
	r := &StormResult{
		Reconnected: s.Reconnected, CaughtUp: s.CaughtUp,
		P50: Quantile(s.Each, 0, .50), P99: Quantile(s.Each, 0, .99),
	}
	if r.Requests, err = requests.Counts(); err != nil {
		return err
	}
	for _, n := range r.Requests {
		r.Total += n
	}
	t.result.Storm = r
	return t.wait(ctx, t.clock.Now()+int64(afterStorm))
}

// finish waits for what is still on its way and notes the final figures.
func (t *trial) finish(ctx context.Context) error {
	if err := t.pub.Flush(ctx); err != nil {
		return err
	}
	var all fleet.Counts
	for _, f := range t.fleets {
		c, err := f.Settle(ctx, t.Grace)
		if err != nil {
			return err
		}
		all.Add(c)
	}
	t.result.counts(all)
	latency, lag, err := t.measured().Latency(ctx)
	if err != nil {
		return err
	}
	t.result.Latency = latencyOf(latency, all.Missing)
	t.result.Generator.ClientLag = time.Duration(lag.ValueAtQuantile(99))
	t.result.Generator.Overslept = t.pace.Overslept(99)
	t.result.Generator.PublishDelay = t.pace.Behind()
	after, err := t.server.Usage(ctx)
	t.result.Memory.After = after.RSS
	return err
}

// wait waits until a time of the clock.
func (t *trial) wait(ctx context.Context, until int64) error {
	timer := time.NewTimer(time.Duration(until - t.clock.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
