package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sluice/publisher/event"
)

// attack is a kind of client that means harm.
type attack struct {
	connections int
	perSecond   rate.Limit // of all; rate.Inf for as fast as they can
	// request changes a request for the whole stream with a good token; nil for
	// attackers that ask for nothing and only use the processors.
	request func(r *http.Request, epoch int64)
	// linger is how long an attacker stays when it has been served.
	linger time.Duration
}

const (
	anywhere = 10 * time.Minute // since when attackers ask, at most
	moment   = 50 * time.Millisecond
)

var attacks = map[string]attack{
	"none":     {connections: runtime.NumCPU()},
	"attempts": {64, 2000, forged, 0},
	"last":     {4, rate.Inf, asked("last", "1", useless(32)...), 0},
	"since":    {32, rate.Inf, since, moment},
	"ahead":    {32, rate.Inf, ahead, moment},
	"start":    {32, rate.Inf, asked("from", "start", useless(32)...), moment},
	"overlap":  {32, rate.Inf, asked("from", "start", "metric.zz.*.*", "*.*.bbb.zz"), moment},
	"resume":   {32, rate.Inf, resume, moment},
	"sets":     {32, rate.Inf, sets, 0},
	"slow":     {200, 200, asked("from", "start"), time.Hour},
}

// forged has a bad token, and headers of proxies that there are not.
func forged(r *http.Request, _ int64) {
	query := r.URL.Query()
	query.Del("access_token")
	r.URL.RawQuery = query.Encode()
	addr := fmt.Sprintf("%d.%d.%d.%d", 1+rand.IntN(200), rand.IntN(256), rand.IntN(256), rand.IntN(256))
	r.Header.Set("Authorization", fmt.Sprintf("Bearer x%x.y%x.z%x", rand.Uint64(), rand.Uint64(), rand.Uint64()))
	r.Header.Set("X-Forwarded-For", addr+", "+addr)
	r.Header.Set("Forwarded", "for="+addr)
	r.Header.Set("X-Real-IP", addr)
}

// useless are topics that no event has, and that share their tokens with all.
func useless(n int) (topics []string) {
	for i := range n {
		topics = append(topics, fmt.Sprintf("metric.*.bbb.ccx%d", i))
	}
	return topics
}

// asked asks for topics from somewhere.
func asked(param, value string, topics ...string) func(*http.Request, int64) {
	return func(r *http.Request, _ int64) { ask(r, param, value, topics...) }
}

func ask(r *http.Request, param, value string, topics ...string) {
	query := r.URL.Query()
	query["topic"] = topics
	query.Set(param, value)
	r.URL.RawQuery = query.Encode()
}

func since(r *http.Request, _ int64) {
	ask(r, "since", time.Now().Add(-rand.N(anywhere)).UTC().Format(time.RFC3339Nano), "metric.none")
}

func ahead(r *http.Request, epoch int64) {
	ask(r, "last_event_id", event.ID{Epoch: epoch, Seq: 1 << 40}.String())
}

func resume(r *http.Request, epoch int64) {
	ask(r, "last_event_id", event.ID{Epoch: epoch, Seq: 1 + rand.Uint64N(1000)}.String(), useless(32)...)
}

func sets(r *http.Request, _ int64) {
	ask(r, "last", "1", fmt.Sprintf("t%x", rand.Uint64()))
}

// outcome is what attackers got, as they print it at their end.
type outcome struct {
	Attempts int64
	Answers  map[string]int64 // by status, or the error's kind
}

// attackers attack until ctx ends.
func attackers(ctx context.Context, cfg *config, stdout io.Writer) error {
	kind, ok := attacks[cfg.As]
	if !ok {
		return fmt.Errorf("no attack %q", cfg.As)
	}
	if kind.request == nil {
		keepBusy(ctx, kind.connections)
		return nil
	}
	limiter := rate.NewLimiter(kind.perSecond, kind.connections)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	epoch := epochOf(ctx, client, cfg)
	var mu sync.Mutex
	sum := outcome{Answers: map[string]int64{}}
	var all sync.WaitGroup
	for range kind.connections {
		all.Go(func() {
			for limiter.Wait(ctx) == nil {
				got := kind.once(ctx, client, cfg, epoch)
				mu.Lock()
				sum.Attempts++
				sum.Answers[got]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return json.NewEncoder(stdout).Encode(sum)
}

// once is one attempt: what it got.
func (a *attack) once(ctx context.Context, client *http.Client, cfg *config, epoch int64) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.Addr+cfg.Path, http.NoBody)
	if err != nil {
		return "no request"
	}
	a.request(r, epoch)
	resp, err := client.Do(r)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 1<<10)
		return resp.Status
	}
	_, _ = bufio.NewReader(resp.Body).ReadString('\n')
	if a.linger > 0 {
		select {
		case <-time.After(a.linger):
		case <-ctx.Done():
		}
	}
	return resp.Status
}

// keepBusy uses that many processors until ctx ends: what a machine loses to
// attackers that do nothing to the server.
func keepBusy(ctx context.Context, processors int) {
	var all sync.WaitGroup
	for range processors {
		all.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	all.Wait()
}

// get asks for host:port and path.
func get(ctx context.Context, client *http.Client, what string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+what, http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

// epochOf is that of the log, by the id of a first block.
func epochOf(ctx context.Context, client *http.Client, cfg *config) int64 {
	resp, err := get(ctx, client, cfg.Addr+cfg.Path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	id, _ := event.ParseID(strings.TrimSpace(strings.TrimPrefix(line, "id:")))
	return id.Epoch
}
