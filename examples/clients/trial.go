package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	pollTime = 10 * time.Millisecond
	// patience is the limit for what must happen. A client that has neither come
	// back nor given up by then is silent.
	patience = time.Minute
	// maxLine is the longest line of an adapter, in bytes.
	maxLine = 1 << 20
)

// line is what an adapter prints.
type line struct {
	Event  string  `json:"event"`
	ID     string  `json:"id"`
	Data   string  `json:"data"`
	Error  string  `json:"error"`
	Closed *string `json:"closed"` // the client has given up
}

// trial is one client that follows one URL.
type trial struct {
	server *server // nil for the real edge

	mu     sync.Mutex
	lines  []line
	gone   bool // it has given up, or its process has ended
	exited bool // its process has ended, and the client has not said that it gave up
}

func (t *trial) say(l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, l)
	t.gone = t.gone || l.Closed != nil
}

func (t *trial) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exited = !t.gone
	t.gone = true
}

// view is what is known of a trial.
type view struct {
	requests []request
	events   []line // those of the type data
	gone     bool
	exited   bool
	said     []line
}

func (t *trial) view() view {
	var v view
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.server != nil {
		v.requests = t.server.seen()
	}
	v.gone, v.exited, v.said = t.gone, t.exited, append([]line(nil), t.lines...)
	for _, l := range v.said {
		if l.Event == "data" {
			v.events = append(v.events, l)
		}
	}
	return v
}

// String is for a look at what happened.
func (v view) String() string {
	var b strings.Builder
	for _, r := range v.requests {
		fmt.Fprintf(&b, " ?%s", r.cursor)
	}
	for _, l := range v.said {
		switch {
		case l.Closed != nil:
			fmt.Fprintf(&b, " closed(%s)", *l.Closed)
		case l.Event == "":
			fmt.Fprintf(&b, " error(%s)", l.Error)
		default:
			fmt.Fprintf(&b, " %s:%s:%.8q", l.Event, l.ID, l.Data)
		}
	}
	if v.gone {
		b.WriteString(" gone")
	}
	return b.String()
}

// caught is whether every event of body has come.
func (t *trial) caught(body string) bool {
	v := t.view()
	for l := range strings.Lines(body) {
		if id, ok := strings.CutPrefix(l, "id: "); ok && !v.gone && !v.saw(strings.TrimSpace(id)) {
			return false
		}
	}
	return true
}

// saw is whether a block with that id has come.
func (v view) saw(id string) bool {
	for _, l := range v.said {
		if l.ID == id {
			return true
		}
	}
	return false
}

// busy is whether an edge has said so.
func (v view) busy() bool {
	for _, l := range v.said {
		if l.Event == "system" && strings.Contains(l.Data, `"type":"busy"`) {
			return true
		}
	}
	return false
}

// ids are those of the events, in order.
func (v view) ids() (ids []string) {
	for _, e := range v.events {
		ids = append(ids, e.ID)
	}
	return ids
}

// got is whether an event with that id has come, whole or not.
func (v view) got(id string) bool {
	for _, e := range v.events {
		if e.ID == id {
			return true
		}
	}
	return false
}

// watch waits until done, or the client has given up, or patience is over.
func (t *trial) watch(ctx context.Context, done func(view) bool) (view, error) {
	for deadline := time.Now().Add(patience); ; {
		v := t.view()
		if v.gone || done(v) || time.Now().After(deadline) {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(pollTime):
		}
	}
}

// start runs the client's adapter until stop, which waits for its end.
func (h *harness) start(ctx context.Context, c *client, url string, needs bool, t *trial) (stop func(), err error) {
	if c.Page {
		return h.browser.open(ctx, c.Adapter, url, needs, t), nil
	}
	args := append(h.command(c), url)
	if needs {
		args = append(args, "needs")
	}
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Dir = h.dir
	command.WaitDelay = time.Second // for what a shell has started
	out, err := command.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := command.Start(); err != nil {
		cancel()
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		t.read(bufio.NewScanner(out))
		_ = command.Wait() // how it ends is no matter
		t.end()
	})
	return func() { cancel(); wg.Wait() }, nil
}

func (t *trial) read(lines *bufio.Scanner) {
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			t.say(l)
		}
	}
}
