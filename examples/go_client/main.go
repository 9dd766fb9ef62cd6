// Command go_client prints the events of a Sluice stream and resumes after a
// cut.
//
//	go run ./examples/go_client [URL] [TOPIC...]
//	COUNT=10           stop after 10 events
//	LAST_EVENT_ID=...  begin after that event
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/tmaxmax/go-sse"
)

const (
	longestWait = 30 * time.Second // between two attempts
	maxEvent    = 1 << 20          // bytes of one event; the library's own limit is 64 KiB with everything
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints events until ctx ends, COUNT is reached or the server refuses.
func run(ctx context.Context, args []string, getenv func(string) string, out, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	count, _ := strconv.Atoi(getenv("COUNT"))
	request, err := newRequest(ctx, args, getenv("LAST_EVENT_ID"))
	if err != nil {
		return err
	}
	client := sse.Client{
		ResponseValidator: validate,
		Backoff:           sse.Backoff{InitialInterval: time.Second, Multiplier: 2, Jitter: 0.25, MaxInterval: longestWait},
		OnRetry: func(err error, wait time.Duration) {
			fmt.Fprintf(log, "%v; next try in %v\n", err, wait.Round(time.Millisecond))
		},
	}
	events := 0
	connection := client.NewConnection(request)
	connection.Buffer(nil, maxEvent)
	connection.SubscribeToAll(func(e sse.Event) {
		switch {
		case ctx.Err() != nil || e.Type == "heartbeat":
		case e.Type == "system":
			printSystem(log, e.Data)
		default:
			fmt.Fprintln(out, e.LastEventID, e.Type, e.Data)
			if events++; events == count {
				cancel()
			}
		}
	})
	return connect(ctx, connection, log)
}

// connect comes back after the answers that the library takes as final but the
// server means as "later". After a cut the library reconnects by itself, with
// the last id and the server's retry time.
func connect(ctx context.Context, connection *sse.Connection, log io.Writer) error {
	for {
		err := connection.Connect()
		var refused *refusedError
		if !errors.As(err, &refused) || refused.after == 0 {
			return err
		}
		fmt.Fprintf(log, "%v; next try in %v\n", err, refused.after)
		select {
		case <-time.After(refused.after):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newRequest(ctx context.Context, args []string, lastID string) (*http.Request, error) {
	target := "http://localhost:8000/stream"
	if len(args) > 0 {
		target, args = args[0], args[1:]
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	for _, topic := range args {
		query.Add("topic", topic)
	}
	if lastID != "" {
		query.Set("last_event_id", lastID) // the header, which the library sends later, comes first
	}
	u.RawQuery = query.Encode()
	return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
}

// refusedError is an answer other than 200; after is 0 where asking again would
// not help.
type refusedError struct {
	status int
	after  time.Duration
}

func (e *refusedError) Error() string { return fmt.Sprintf("refused with status %d", e.status) }

func validate(r *http.Response) error {
	switch r.StatusCode {
	case http.StatusOK:
		return sse.DefaultValidator(r)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			seconds = 5
		}
		return &refusedError{r.StatusCode, min(time.Duration(seconds)*time.Second, longestWait)}
	}
	return &refusedError{status: r.StatusCode}
}

// printSystem tells what the edge itself has to say.
func printSystem(log io.Writer, data string) {
	var block struct{ Type, Message, Resumed, Reason, First string }
	if err := json.Unmarshal([]byte(data), &block); err != nil {
		fmt.Fprintln(log, "system:", data)
		return
	}
	if block.Type == "gap" || block.Resumed == "gap" {
		fmt.Fprintln(log, "GAP:", block.Reason, block.Message, "first:", block.First)
		return
	}
	fmt.Fprintf(log, "%s: %s\n", block.Type, block.Message)
}
