package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/infra/chaos/oracle"
)

const (
	// emptyWithin is how long an edge may take until nothing is left of its
	// clients: their consumers live for 10 s without them.
	emptyWithin = 90 * time.Second
	// What an idle edge may have more than when it was new.
	moreGoroutines, moreFiles = 25, 25
)

// usage is what an edge holds.
type usage struct{ clients, goroutines, files int }

// get asks for a URL and wants 200.
func (c *chaos) get(ctx context.Context, url string) error {
	body, err := c.fetch(ctx, url)
	if err == nil {
		_ = body.Close()
	}
	return err
}

func (c *chaos) fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := c.web.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return res.Body, nil
}

// usageOf reads an edge's metrics.
func (c *chaos) usageOf(ctx context.Context, base string) (u usage, err error) {
	body, err := c.fetch(ctx, base+"/metrics")
	if err != nil {
		return u, err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name, _, _ = strings.Cut(name, "{"); name {
		case "sse_connected_clients":
			u.clients += int(number)
		case "go_goroutines":
			u.goroutines = int(number)
		case "process_open_fds":
			u.files = int(number)
		}
	}
	return u, lines.Err()
}

// leftOver is what is left when all clients have gone.
func (c *chaos) leftOver(ctx context.Context) (left []oracle.Violation) {
	until := time.Now().Add(emptyWithin)
	for {
		complaints := c.remains(ctx)
		if len(complaints) == 0 {
			return nil
		}
		if time.Now().After(until) {
			for _, what := range complaints {
				left = append(left, oracle.Violation{Sin: oracle.LeftOver, At: c.book.Now(), Client: -1, Step: -1, Count: 1, What: what})
			}
			return left
		}
		sleep(ctx, time.Second)
	}
}

func (c *chaos) remains(ctx context.Context) (complaints []string) {
	for i, e := range c.world.Edges {
		u, err := c.usageOf(ctx, e.URL)
		idle := c.idle[i]
		switch {
		case err != nil:
			complaints = append(complaints, fmt.Sprintf("%s does not answer: %v", e.Name, err))
		case u.clients > 0:
			complaints = append(complaints, fmt.Sprintf("%s still has %d clients", e.Name, u.clients))
		case u.goroutines > idle.goroutines+moreGoroutines:
			complaints = append(complaints, fmt.Sprintf("%s has %d goroutines, %d when it was new", e.Name, u.goroutines, idle.goroutines))
		case u.files > idle.files+moreFiles:
			complaints = append(complaints, fmt.Sprintf("%s has %d open files, %d when it was new", e.Name, u.files, idle.files))
		}
	}
	if names, err := c.stream.Consumers(ctx); err != nil {
		complaints = append(complaints, err.Error())
	} else if len(names) > len(c.world.Edges) {
		complaints = append(complaints, fmt.Sprintf("the stream has %d consumers for %d edges", len(names), len(c.world.Edges)))
	}
	return complaints
}

// crowd opens n streams at once, half of them on each edge, and closes them
// after a while.
func (c *chaos) crowd(ctx context.Context, n int, stay time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	crowd := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for i := range n {
		url := c.world.Edges[i%len(c.world.Edges)].URL + "/stream"
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return
			}
			if res, err := crowd.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body) // until the crowd goes
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
	return nil
}
