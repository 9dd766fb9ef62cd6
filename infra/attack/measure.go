package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/infra/bench/peer"
)

const (
	pending    = 4096
	fillTopics = 1000
	liveTopic  = "live.x"
	// grace is how long watchers wait for what is still missing.
	grace = 10 * time.Second
	// warmup is before each round, for what the last one has left.
	warmup     = time.Second
	maxLatency = time.Minute
	digits     = 3
)

// fill publishes what is in the log beforehand.
func fill(ctx context.Context, server *peer.Server, events int, stdout io.Writer) error {
	p, err := server.Publisher(ctx, pending)
	if err != nil {
		return err
	}
	defer p.Close()
	fmt.Fprintf(stdout, "publishing %d events beforehand\n", events)
	for i := range events {
		if err := p.Publish(ctx, fmt.Sprintf("metric.a%d.bbb.ccc", i%fillTopics), []byte(`{"n":1}`)); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}

// round is what the watchers saw in one.
type round struct {
	latency *hdrhistogram.Histogram
	lost    int
}

func (r *round) at(q float64) time.Duration { return time.Duration(r.latency.ValueAtQuantile(q)) }

// measure takes turns without and with an attack, and prints a line.
func measure(ctx context.Context, cfg *config, name string, server *peer.Server, stdout io.Writer) error {
	before, err := heap(ctx, server)
	if err != nil {
		return err
	}
	var without, with []*round
	var got outcome
	lost := 0
	for range cfg.Rounds {
		for _, attacked := range []bool{false, true} {
			stop := func() outcome { return outcome{} }
			if attacked {
				if stop, err = startAttackers(ctx, cfg, name, server); err != nil {
					return err
				}
			}
			r, err := watch(ctx, cfg, server)
			if sum := stop(); attacked {
				got = sum
			}
			if err != nil {
				return err
			}
			lost += r.lost
			if attacked {
				with = append(with, r)
			} else {
				without = append(without, r)
			}
		}
	}
	after := settled(ctx, cfg, server, before)
	q := func(rounds []*round, q float64) time.Duration {
		all := make([]time.Duration, 0, len(rounds))
		for _, r := range rounds {
			all = append(all, r.at(q))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	ratio := float64(q(with, 99)) / float64(q(without, 99))
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e3) }
	fmt.Fprintf(stdout, "%-9s p50 %s → %s ms | p99 %s → %s ms, ×%.2f | lost %d | %d attempts in the last round: %v | heap %d → %d KiB\n",
		name, ms(q(without, 50)), ms(q(with, 50)), ms(q(without, 99)), ms(q(with, 99)), ratio, lost, got.Attempts, got.Answers, before>>10, after>>10)
	switch {
	case lost > 0:
		return fmt.Errorf("%s: the watchers lost %d events", name, lost)
	case cfg.MaxRatio > 0 && ratio > cfg.MaxRatio:
		return fmt.Errorf("%s: the p99 is %.2f times that without, at most %.2f is allowed", name, ratio, cfg.MaxRatio)
	}
	return nil
}

// startAttackers starts them as a process. stop ends it, and gives what they got.
func startAttackers(ctx context.Context, cfg *config, name string, server *peer.Server) (stop func() outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// nice, because Go's threads do not share a priority that one of them sets.
	cmd := exec.CommandContext(ctx, "nice", "-n", "10", self, "--as", name, "--addr", server.Addr.String(), "--path", server.Path(">"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() (sum outcome) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = json.Unmarshal(said.Bytes(), &sum)
		return sum
	}, nil
}

// watch has the watchers read what is published at a fixed rate, each event timed
// from when it was due.
func watch(ctx context.Context, cfg *config, server *peer.Server) (*round, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := int(cfg.Duration.Seconds() * float64(cfg.Rate))
	r := &round{latency: hdrhistogram.New(1, maxLatency.Nanoseconds(), digits)}
	var mu sync.Mutex
	var watching, ready sync.WaitGroup
	for range cfg.Watchers {
		ready.Add(1)
		watching.Go(func() {
			seen, latency := read(ctx, server, events, sync.OnceFunc(ready.Done))
			mu.Lock()
			defer mu.Unlock()
			r.latency.Merge(latency)
			r.lost += events - seen
		})
	}
	ready.Wait()
	select {
	case <-time.After(warmup):
	case <-ctx.Done():
	}
	p, err := server.Publisher(ctx, pending)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	began := time.Now()
	for n := range events {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(cfg.Rate))
		time.Sleep(time.Until(due))
		if err := p.Publish(ctx, liveTopic, fmt.Appendf(nil, `{"at":%d,"n":%d}`, due.UnixNano(), n)); err != nil {
			return nil, err
		}
	}
	giveUp := time.AfterFunc(grace, cancel)
	defer giveUp.Stop()
	watching.Wait()
	return r, nil
}

// read is one watcher: how many of the events it saw, in their order, and how late.
func read(ctx context.Context, server *peer.Server, events int, ready func()) (seen int, latency *hdrhistogram.Histogram) {
	defer ready()
	latency = hdrhistogram.New(1, maxLatency.Nanoseconds(), digits)
	resp, err := get(ctx, http.DefaultClient, server.Addr.String()+server.Path(liveTopic))
	if err != nil {
		return 0, latency
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for seen < events && lines.Scan() {
		ready()
		data, ok := strings.CutPrefix(lines.Text(), `data: {"at":`)
		if !ok {
			continue
		}
		var at int64
		var n int
		if _, err := fmt.Sscanf(data, `%d,"n":%d`, &at, &n); err != nil || n != seen {
			continue // one that does not follow counts as lost
		}
		seen++
		_ = latency.RecordValue(max(1, time.Now().UnixNano()-at))
	}
	return seen, latency
}

// heap is the server's memory in use by Go.
func heap(ctx context.Context, server *peer.Server) (int64, error) {
	resp, err := get(ctx, http.DefaultClient, server.Addr.String()+"/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var value float64
		if _, err := fmt.Sscanf(lines.Text(), "go_memstats_heap_inuse_bytes %g", &value); err == nil {
			return int64(value), nil
		}
	}
	return 0, fmt.Errorf("/metrics has no go_memstats_heap_inuse_bytes")
}

// settled is the memory when it has come back to what it was, or no later than
// after a while.
func settled(ctx context.Context, cfg *config, server *peer.Server, before int64) (now int64) {
	for end := time.Now().Add(cfg.Settle); ctx.Err() == nil; {
		now, _ = heap(ctx, server)
		if now <= before || time.Now().After(end) {
			break
		}
		time.Sleep(warmup)
	}
	return now
}
