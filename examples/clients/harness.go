package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// sideBySide is how many trials run at once; most of their time they wait.
	sideBySide = 24
	// startsAtOnce is how many clients start at once, which takes a processor.
	startsAtOnce = 4
)

// harness is what the trials need: built adapters, a browser, a python.
type harness struct {
	root    string // of the repository
	dir     string // of the adapters
	work    string // temporary
	python  string
	browser *browser
	out     io.Writer
	verbose bool
	slots   chan struct{}
	starts  chan struct{}
}

// prepare installs and builds what the trials need.
func prepare(ctx context.Context, out io.Writer) (h *harness, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	h = &harness{root: strings.TrimSpace(string(root)), out: out, slots: make(chan struct{}, sideBySide), starts: make(chan struct{}, startsAtOnce)}
	h.dir = filepath.Join(h.root, "examples", "clients")
	if h.work, err = os.MkdirTemp("", "sluice-clients-"); err != nil {
		return nil, err
	}
	if err := h.install(ctx); err != nil {
		h.close()
		return nil, err
	}
	if h.browser, err = startBrowser(ctx, filepath.Join(h.dir, "js"), filepath.Join(h.work, "chromium")); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *harness) install(ctx context.Context) error {
	for _, tool := range []string{"node", "npm", "curl", "wget", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: %w", tool, err)
		}
	}
	if err := h.findPython(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, args := range [][]string{
		{"npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", filepath.Join(h.dir, "js")},
		{"go", "build", "-C", filepath.Join(h.dir, "go"), "-o", h.work + string(filepath.Separator), "./..."},
		{"go", "build", "-C", h.root, "-o", filepath.Join(h.work, "edge"), "./functions/cmd/edge"},
	} {
		wg.Go(func() {
			if output, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, output)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// findPython takes the first python3 that has what the adapters import; there
// may be several, and apt-get installs for Debian's.
func (h *harness) findPython(ctx context.Context) (err error) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		var output []byte
		if output, err = exec.CommandContext(ctx, python, "-c", "import requests, httpx, aiohttp").CombinedOutput(); err == nil {
			h.python = python
			return nil
		}
		err = fmt.Errorf("%s: %w\n%s", python, err, output)
	}
	return err
}

func (h *harness) close() {
	if h.browser != nil {
		h.browser.close()
	}
	// A process of the browser may write to its profile for a moment more.
	for deadline := time.Now().Add(patience); os.RemoveAll(h.work) != nil && time.Now().Before(deadline); {
		time.Sleep(pollTime)
	}
}

// row is what was seen of a client as it comes, and with what it needs.
type row struct {
	client *client
	needs  []string

	clean, unavailable, unauthorized, away, cut, big string // as it comes

	// What a client must not do, with what it needs.
	flaws []string
}

// observeAll runs all scenarios of all clients side by side.
func (h *harness) observeAll(ctx context.Context, clients []*client) ([]*row, error) {
	var wg sync.WaitGroup
	rows, errs := make([]*row, len(clients)), make([]error, len(clients))
	for i, c := range clients {
		wg.Go(func() { rows[i], errs[i] = h.observe(ctx, c) })
	}
	wg.Wait()
	return rows, errors.Join(errs...)
}

func (h *harness) observe(ctx context.Context, c *client) (*row, error) {
	needs, careful, err := h.needs(c)
	if err != nil {
		return nil, err
	}
	r := &row{client: c, needs: needs}
	s := &series{h: h, ctx: ctx, client: c, careful: careful}
	s.tell(&r.clean, cleanEnd, false)
	s.tell(&r.away, away, false)
	s.tell(&r.big, big, false)
	s.tellStatus(&r.unavailable, unavailable, false)
	s.tellStatus(&r.unauthorized, unauthorized, false)
	cuts := make([]string, len(cutPoints))
	for i, part := range cutPoints {
		s.tell(&cuts[i], cutAt(part), false)
	}
	var with struct{ clean, away, big, largest, unauthorized string }
	s.tell(&with.largest, largest, false)
	withCuts := make([]string, len(cutPoints))
	if careful {
		s.tell(&with.clean, cleanEnd, true)
		s.tell(&with.away, away, true)
		s.tell(&with.big, big, true)
		s.tellStatus(&with.unauthorized, unauthorized, true)
		for i, part := range cutPoints {
			s.tell(&withCuts[i], cutAt(part), true)
		}
	}
	s.wg.Wait()
	r.cut = worst(cuts)
	if !careful {
		with.clean, with.away, with.big, with.unauthorized, withCuts = r.clean, r.away, r.big, r.unauthorized, cuts
	}
	r.expect("a clean end", with.clean, back)
	r.expect("a server that is away", with.away, back)
	r.expect("64 KiB", with.big, "whole")
	r.expect("the largest event", with.largest, "whole")
	r.expect("a cut", worst(withCuts), whole)
	if c.Heeds401 {
		r.expect("401", with.unauthorized, stops)
	}
	return r, errors.Join(s.errs...)
}

// expect notes what a client with what it needs must not do.
func (r *row) expect(at, told, want string) {
	if !strings.HasPrefix(told, want) {
		r.flaws = append(r.flaws, fmt.Sprintf("at %s it %s, and not: %s", at, told, want))
	}
}

// series is the trials of one client.
type series struct {
	h       *harness
	ctx     context.Context
	client  *client
	careful bool
	wg      sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

// tell has to be what the scenario tells, when wg is done.
func (s *series) tell(to *string, as scenario, needs bool) {
	s.wg.Go(func() { *to = s.try(as, needs) })
}

// tellStatus tries the first request where the client does not make a second.
func (s *series) tellStatus(to *string, as func(first bool) scenario, needs bool) {
	s.wg.Go(func() {
		if *to = s.try(as(false), needs); *to == unreached {
			*to = s.try(as(true), needs)
		}
	})
}

// try runs one scenario and gives what it tells.
func (s *series) try(as scenario, needs bool) string {
	s.h.slots <- struct{}{}
	defer func() { <-s.h.slots }()
	told, err := s.h.trial(s.ctx, s.client, as, needs)
	if told == exits && s.careful && !needs {
		// What it does where something else keeps the process alive is as true.
		if told, err = s.h.trial(s.ctx, s.client, as, true); as.alone {
			told += ", if the process lives"
		}
	}
	if err != nil {
		s.mu.Lock()
		s.errs = append(s.errs, fmt.Errorf("%s: %w", s.client.Adapter, err))
		s.mu.Unlock()
	}
	return told
}

func (h *harness) trial(ctx context.Context, c *client, as scenario, needs bool) (string, error) {
	t := &trial{}
	v, err := serve(as.script, t.caught)
	if err != nil {
		return "", err
	}
	defer v.close()
	t.server = v
	h.starts <- struct{}{}
	stop, err := h.start(ctx, c, v.url(), needs, t)
	if err == nil {
		_, err = t.watch(ctx, func(v view) bool { return len(v.requests) > 0 })
		defer stop()
	}
	<-h.starts
	if err != nil {
		return "", err
	}
	seen, err := t.watch(ctx, as.done)
	told := as.tell(seen)
	if h.verbose {
		fmt.Fprintf(h.out, "%s, needs %v: %s: %s\n", c.Adapter, needs, told, seen)
	}
	return told, err
}

// flaws are those of clients that have what they need.
func (h *harness) flaws(rows []*row) error {
	var errs []error
	for _, r := range rows {
		for _, f := range r.flaws {
			errs = append(errs, fmt.Errorf("%s, with what it needs: %s", r.client.Adapter, f))
		}
	}
	return errors.Join(errs...)
}
