package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sluice/functions/access"
	"sluice/publisher"
	"sluice/publisher/event"
)

// retryAfter is when a request that was not stored whole is worth repeating.
const retryAfter = 5 * time.Second

// summary is what became of a request's events.
type summary struct {
	Published  uint64 `json:"published"`
	Duplicates uint64 `json:"duplicates"`
	Failed     uint64 `json:"failed"`
	FirstID    string `json:"first_id,omitempty"`
	LastID     string `json:"last_id,omitempty"`
	// What ended the request early.
	Error   access.Code `json:"error,omitempty"`
	Message string      `json:"message,omitempty"`
}

// tally makes a summary of results. It is safe for concurrent use.
type tally struct {
	handler *Handler

	mu          sync.Mutex
	sum         summary
	lost        bool // some failed because of the log, not by themselves
	first, last event.ID
}

// settle counts a result.
func (t *tally) settle(r publisher.Result) {
	result := resultPublished
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case r.Err != nil:
		result = resultFailed
		t.sum.Failed++
		t.lost = t.lost || !errors.Is(r.Err, publisher.ErrInvalid)
	case r.Duplicate:
		result = resultDuplicate
		t.sum.Duplicates++
	default:
		t.sum.Published++
	}
	t.handler.events.WithLabelValues(result).Inc()
	if r.Err != nil {
		return
	}
	if t.first == (event.ID{}) || r.ID.Seq < t.first.Seq {
		t.first = r.ID
	}
	if r.ID.Seq > t.last.Seq {
		t.last = r.ID
	}
}

// summary is the account so far; with what a client is to do where the log has not
// acknowledged all.
func (t *tally) summary() summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.sum
	if t.first != (event.ID{}) {
		sum.FirstID, sum.LastID = t.first.String(), t.last.String()
	}
	if t.lost {
		sum.Error, sum.Message = access.LogUnavailable, unstored(sum)
	}
	return sum
}

// errUnsent is why an event failed that found no place among those on the way.
var errUnsent = errors.New("the log acknowledges nothing")

// store publishes events, and answers when the log has them all, or with how many it
// has. A refusal is for all of them.
func (h *Handler) store(w http.ResponseWriter, r *http.Request, author *access.Author, events []publisher.Event) *access.Refusal {
	for i := range events {
		if bad := author.May(events[i].Topic); bad != nil {
			return bad
		}
	}
	if bad := take(author, len(events)); bad != nil {
		return bad
	}
	// As with lines, a client that sends no more may still read.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.cfg.Timeout)
	defer cancel()
	t := &tally{handler: h}
	var stored sync.WaitGroup
	for i := range events {
		stored.Add(1)
		events[i].OnResult = func(res publisher.Result) { t.settle(res); stored.Done() }
		if err := h.cfg.Sink.Put(ctx, events[i]); err != nil {
			for range events[i:] {
				t.settle(publisher.Result{Err: errUnsent})
			}
			stored.Done()
			break
		}
	}
	stored.Wait() // no longer than the publisher's own limit
	h.answer(w, t.summary())
	return nil
}

// take takes events from what the author may publish now.
func take(author *access.Author, n int) *access.Refusal {
	if author.Rate == nil {
		return nil
	}
	wait := author.Rate.ReserveN(time.Now(), min(n, author.Rate.Burst()))
	if d := wait.Delay(); d > 0 {
		wait.Cancel()
		return access.TooFast(d)
	}
	return nil
}

// answer tells a summary: 200 when every event is in the log.
func (h *Handler) answer(w http.ResponseWriter, sum summary) {
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	status, code := http.StatusOK, codeOK
	if sum.Failed > 0 {
		status, code = http.StatusServiceUnavailable, string(access.LogUnavailable)
		head.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	h.requests.WithLabelValues(code).Inc()
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(sum)
}

// unstored says what is to be done.
func unstored(sum summary) string {
	return fmt.Sprintf("the log has acknowledged %d of %d events; it may have stored others: repeat the request, with the same Idempotency-Key if it has one",
		sum.Published+sum.Duplicates, sum.Published+sum.Duplicates+sum.Failed)
}
