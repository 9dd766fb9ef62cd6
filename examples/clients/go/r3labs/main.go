// Command r3labs is the adapter of github.com/r3labs/sse.
package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"

	"sluice/examples/clients/go/say"
)

func main() {
	url, needs := say.Asked()
	if needs {
		say.Closed(follow(url))
		return
	}
	client := sse.NewClient(url)
	client.ReconnectNotify = func(err error, _ time.Duration) { say.Error(err) }
	say.Closed(client.SubscribeRaw(func(e *sse.Event) { say.Event(string(e.Event), string(e.ID), string(e.Data)) }))
}

// follow makes a new client for each connection, with the id of the last whole
// event. The library hands over what a cut has left of an event and takes its id,
// even half of one. The retry line is the last of a block: without it, all may be
// missing.
func follow(url string) error {
	last, retry, refused := "", 1000, 0
	for refused == 0 {
		client := sse.NewClient(url, sse.ClientMaxBufferSize(1<<20))
		client.ReconnectStrategy = &backoff.StopBackOff{}
		client.Headers["Last-Event-ID"] = last
		client.ResponseValidator = func(_ *sse.Client, r *http.Response) error {
			if r.StatusCode == http.StatusOK {
				return nil
			}
			_ = r.Body.Close()
			if r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests {
				refused = r.StatusCode
			}
			return fmt.Errorf("status %d", r.StatusCode)
		}
		err := client.SubscribeRaw(func(e *sse.Event) {
			if len(e.Retry) == 0 {
				return // cut in the middle
			}
			last = string(e.ID)
			if ms, err := strconv.Atoi(string(e.Retry)); err == nil {
				retry = ms
			}
			say.Event(string(e.Event), last, string(e.Data))
		})
		if err != nil {
			say.Error(err)
		}
		time.Sleep(time.Duration(retry) * time.Millisecond)
	}
	return fmt.Errorf("refused with status %d", refused)
}
