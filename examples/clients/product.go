package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	publishEvery = 20 * time.Millisecond
	// perPhase is how many events each client gets before the next thing happens.
	perPhase = 10
)

// follower is a client, with what it needs, on a real edge from the start of
// the log.
type follower struct {
	*trial
	client *client
	stop   func()
}

func (h *harness) followers(ctx context.Context, clients []*client, needs bool, address func(*client) string) (all []*follower, stop func(), err error) {
	stop = func() {
		var wg sync.WaitGroup
		for _, f := range all {
			wg.Go(f.stop)
		}
		wg.Wait()
	}
	for _, c := range clients {
		f := &follower{trial: &trial{}, client: c}
		f.stop, err = h.start(ctx, c, address(c), needs, f.trial)
		if err != nil {
			return all, stop, err
		}
		all = append(all, f)
	}
	return all, stop, nil
}

// follow has all clients follow one edge that is killed, away, full, and drained.
func (h *harness) follow(ctx context.Context, clients []*client) error {
	w, err := h.newWorld(ctx, "follow", "RETRY=200ms", "DRAIN_TIMEOUT=1s")
	if err != nil {
		return err
	}
	defer w.close()
	publishing, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for publishing.Err() == nil && w.publish(publishing) == nil {
			time.Sleep(publishEvery)
		}
	})
	defer wg.Wait()
	defer cancel()
	all, stop, err := h.followers(ctx, clients, true, func(*client) string { return "http://" + w.addr + "/stream?from=start" })
	defer stop()
	if err != nil {
		return err
	}
	grow(ctx, all, w)
	w.kill()
	time.Sleep(awayTime)
	if err := w.start(ctx, "MAX_CONNECTIONS=1"); err != nil {
		return err
	}
	if err := refused(ctx, all); err != nil {
		return err
	}
	w.kill()
	if err := w.start(ctx); err != nil {
		return err
	}
	grow(ctx, all, w)
	if err := w.drain(); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	grow(ctx, all, w)
	cancel()
	wg.Wait()
	if err := w.pub.Flush(ctx); err != nil {
		return err
	}
	return exact(ctx, all, w.log())
}

// refused waits until all but one, who has the only place, are told that the edge
// is busy: in-band, because an EventSource would stop at a status. Who does not
// say that it wants an event stream gets the status.
func refused(ctx context.Context, all []*follower) error {
	for deadline := time.Now().Add(patience); ctx.Err() == nil; time.Sleep(pollTime) {
		var served []string
		for _, f := range all {
			if f.client.Lang != "shell" && !f.view().busy() {
				served = append(served, f.client.Adapter)
			}
		}
		if len(served) <= 1 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not told that the edge is full: %q", served)
		}
	}
	return ctx.Err()
}

// grow waits until each client has got perPhase events more than the log has
// now; who does not is told by exact.
func grow(ctx context.Context, all []*follower, w *world) {
	until(ctx, all, len(w.log())+perPhase)
}

func until(ctx context.Context, all []*follower, n int) {
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(func() { _, _ = f.watch(ctx, func(v view) bool { return len(v.events) >= n }) })
	}
	wg.Wait()
}

// exact wants that each client has the whole log, each event once and in order.
func exact(ctx context.Context, all []*follower, log []string) error {
	until(ctx, all, len(log))
	var errs []error
	for _, f := range all {
		v := f.view()
		if slices.Equal(v.ids(), log) {
			continue
		}
		lost := missing(v.ids(), log)
		errs = append(errs, fmt.Errorf("%s: %d events of %d, without %d: %q; gone %v",
			f.client.Adapter, len(v.events), len(log), len(lost), lost[:min(3, len(lost))], v.gone))
	}
	return errors.Join(errs...)
}

// missing are the ids of log that are not among ids.
func missing(ids, log []string) (lost []string) {
	for _, id := range log {
		if !slices.Contains(ids, id) {
			lost = append(lost, id)
		}
	}
	return lost
}
