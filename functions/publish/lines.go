package publish

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"sluice/functions/access"
	"sluice/publisher"
	pub "sluice/publisher/source"
)

const (
	// window is how many lines may be without a result line: so many results wait
	// in memory for a client that is slow to read them.
	window = 1024
	// quiet is how long a client may send nothing.
	quiet = 2 * time.Minute
)

// result is a line's, as it is told.
type result struct {
	Line      uint64      `json:"line"`
	ID        string      `json:"id,omitempty"`
	Duplicate bool        `json:"duplicate,omitempty"`
	Error     access.Code `json:"error,omitempty"`
	Message   string      `json:"message,omitempty"`
}

// outcome is a line whose result is known, or will be.
type outcome struct {
	line uint64
	bad  *access.Refusal       // why it was not published
	done chan publisher.Result // else what became of it; has room for it
}

// exchange is one request of lines.
type exchange struct {
	*Handler
	request
	w     http.ResponseWriter
	rc    *http.ResponseController
	lines *pub.Lines
	tally tally
	// results are the lines in their order, of which window may wait.
	results chan outcome
	// early is why the request ended before its lines; written before results is
	// closed.
	early *access.Refusal
}

// lines publishes each line as it comes, and answers with a line for each, in their
// order, and a last one for all. It returns a refusal when nothing was stored.
func (h *Handler) lines(w http.ResponseWriter, r *http.Request, q request) *access.Refusal {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // HTTP/2 has it
	takeBody(w, r)
	// The request's own context ends with a client that stops sending and still reads:
	// what has come of it is published, and what is told of that must be true.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	x := &exchange{Handler: h, request: q, w: w, rc: rc, tally: tally{handler: h}, results: make(chan outcome, window)}
	body := &patient{body: r.Body, rc: rc, quiet: quiet}
	x.lines = pub.NewLines(ctx, body, pub.LinesOptions{Topic: q.topic, Type: q.typ, IDs: q.ids(), MaxBytes: h.cfg.MaxEventBytes})
	var reading, watching sync.WaitGroup
	reading.Go(func() { defer close(x.results); x.early = x.read(ctx) })
	watching.Go(func() {
		select {
		case <-h.draining:
			body.end()
		case <-ctx.Done():
		}
	})
	bad := x.write()
	cancel()
	body.end() // what the client has not sent yet is not waited for
	reading.Wait()
	watching.Wait()
	for !errors.Is(x.skip(), io.EOF) { // ends the goroutine that reads the body
	}
	return bad
}

// skip is the next line, which is thrown away.
func (x *exchange) skip() error {
	_, err := x.lines.Next(context.Background())
	return err
}

// read publishes the lines until there are no more. The refusal is why it ends
// before that.
func (x *exchange) read(ctx context.Context) *access.Refusal {
	for some := false; ; {
		e, err := x.lines.Next(ctx)
		line := x.lines.Line()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, publisher.ErrInvalid):
			return x.interrupted(ctx)
		case err == nil:
			if err = e.Check(x.cfg.MaxEventBytes); err != nil {
				err = fmt.Errorf("line %d: %w", line, err)
			}
		}
		o := outcome{line: line}
		if err != nil {
			o.bad = refuse(access.BadEvent, err)
			if !some {
				return o.bad // nothing is stored of a body that is something else
			}
			x.tally.settle(publisher.Result{Err: err})
		} else if bad := x.put(ctx, e, &o); bad != nil {
			return bad
		}
		some = true
		select {
		case x.results <- o:
		case <-ctx.Done():
			return nil
		}
	}
}

// interrupted is why no more lines come.
func (x *exchange) interrupted(ctx context.Context) *access.Refusal {
	select {
	case <-x.draining:
		return access.Away()
	default:
	}
	if ctx.Err() != nil {
		return nil // nobody reads it any more
	}
	return notWhole()
}

// put hands an event over when its author may publish it.
func (x *exchange) put(ctx context.Context, e publisher.Event, o *outcome) *access.Refusal {
	if bad := x.author.May(e.Topic); bad != nil {
		return bad
	}
	if x.author.Rate != nil {
		if err := x.author.Rate.Wait(ctx); err != nil {
			return access.TooFast(0)
		}
	}
	done := make(chan publisher.Result, 1)
	o.done = done
	e.OnResult = func(r publisher.Result) { x.tally.settle(r); done <- r }
	place, cancel := context.WithTimeout(ctx, x.cfg.Timeout)
	defer cancel()
	if err := x.cfg.Sink.Put(place, e); err != nil {
		x.tally.settle(publisher.Result{Err: errUnsent})
		bad := access.Later(access.LogUnavailable, "the log acknowledges nothing now; try again later", retryAfter)
		bad.Cause = err
		return bad
	}
	return nil
}

// write tells the results. A refusal is the only answer then.
func (x *exchange) write() *access.Refusal {
	first, ok := <-x.results
	if !ok && x.early != nil {
		return x.early
	}
	head := x.w.Header()
	head.Set("Content-Type", "application/x-ndjson")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // nginx would keep the lines back
	out := bufio.NewWriter(x.w)
	lines := json.NewEncoder(out)
	for o := first; ok; o, ok = <-x.results {
		_ = lines.Encode(x.result(o, out)) // its error comes again at the next flush
		if len(x.results) == 0 && x.flush(out) != nil {
			return nil
		}
	}
	sum := x.tally.summary()
	code := codeOK
	switch {
	case x.early != nil:
		sum.Error, sum.Message = x.early.Code, x.early.Message
	case sum.Failed > 0 && sum.Error == "":
		sum.Error, sum.Message = access.BadEvent, "some lines were not published: each is told above"
	}
	if sum.Error != "" {
		code = string(sum.Error)
	}
	x.requests.WithLabelValues(code).Inc()
	_ = lines.Encode(sum)
	_ = x.flush(out)
	return nil
}

// result waits for a line's.
func (x *exchange) result(o outcome, out *bufio.Writer) result {
	if o.bad != nil {
		return result{Line: o.line, Error: o.bad.Code, Message: o.bad.Message}
	}
	var r publisher.Result
	select {
	case r = <-o.done:
	default:
		_ = x.flush(out) // what is known is not kept back
		r = <-o.done     // no longer than the publisher's own limit
	}
	if r.Err != nil {
		return result{Line: o.line, Error: access.LogUnavailable, Message: "the log has not acknowledged it, and may hold it"}
	}
	return result{Line: o.line, ID: r.ID.String(), Duplicate: r.Duplicate}
}

func (x *exchange) flush(out *bufio.Writer) error {
	if err := x.rc.SetWriteDeadline(time.Now().Add(x.cfg.StallTimeout)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return x.rc.Flush()
}

// patient gives a body as long as something comes, and until end.
type patient struct {
	body  io.Reader
	rc    *http.ResponseController
	quiet time.Duration

	mu   sync.Mutex
	over bool // all of it has come, or nothing more is wanted
}

func (p *patient) Read(b []byte) (int, error) {
	p.mu.Lock()
	if !p.over {
		_ = p.rc.SetReadDeadline(time.Now().Add(p.quiet))
	}
	p.mu.Unlock()
	n, err := p.body.Read(b)
	if errors.Is(err, io.EOF) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.over = true
	}
	return n, err
}

// end has the read that waits, and each later one, fail.
func (p *patient) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		_ = p.rc.SetReadDeadline(time.Now())
	}
}
