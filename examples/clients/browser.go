package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// browser is a Chromium with one page, js/host.html, which opens a frame for
// each trial. Frames say what their client does by posting it.
type browser struct {
	http   *http.Server
	url    string
	cancel context.CancelFunc
	wg     sync.WaitGroup

	commands chan frame

	mu     sync.Mutex
	last   int
	trials map[int]*trial
}

// frame is a command to the page: to open a frame, or, without an adapter, to
// close it.
type frame struct {
	ID      int    `json:"id"`
	Adapter string `json:"adapter"`
	URL     string `json:"url"`
	Needs   bool   `json:"needs"`
}

var chromiumFlags = []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
	"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
	"--disable-background-timer-throttling", "--disable-renderer-backgrounding"}

func findChromium() (string, error) {
	if p := os.Getenv("CHROMIUM"); p != "" {
		return p, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no Chromium in PATH: install it, or set CHROMIUM to its path")
}

// startBrowser returns when the page is there. js is the directory of adapters.
func startBrowser(ctx context.Context, js, profile string) (*browser, error) {
	binary, err := findChromium()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &browser{url: "http://" + listener.Addr().String(), cancel: cancel, commands: make(chan frame), trials: map[int]*trial{}}
	ready := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("GET /", scripts(js))
	mux.HandleFunc("GET /commands", func(w http.ResponseWriter, r *http.Request) { b.command(w, r, sync.OnceFunc(func() { close(ready) })) })
	mux.HandleFunc("POST /say/{id}", b.hear)
	b.http = &http.Server{Handler: mux, ReadHeaderTimeout: patience, BaseContext: func(net.Listener) context.Context { return ctx }}
	b.wg.Go(func() { _ = b.http.Serve(listener) })

	chromium := exec.CommandContext(ctx, binary, append(chromiumFlags, "--user-data-dir="+profile, b.url+"/host.html")...)
	chromium.Cancel = func() error { return chromium.Process.Signal(syscall.SIGTERM) } // it ends its own processes
	chromium.WaitDelay = patience
	if err := chromium.Start(); err != nil {
		b.close()
		return nil, err
	}
	ended := make(chan struct{})
	b.wg.Go(func() { defer close(ended); _ = chromium.Wait() })
	select {
	case <-ready:
		return b, nil
	case <-ended:
		err = errors.New("the browser has ended")
	case <-time.After(patience):
		err = errors.New("the browser does not open its page")
	}
	b.close()
	return nil, err
}

func (b *browser) close() {
	b.cancel()
	_ = b.http.Close()
	b.wg.Wait()
}

// scripts serves the files of js. A module may leave out the end of a name, as
// bundlers allow.
func scripts(js string) http.Handler {
	files := http.FileServer(http.Dir(js))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) == "" {
			if _, err := os.Stat(filepath.Join(js, filepath.FromSlash(r.URL.Path))); err != nil {
				r.URL.Path += ".js"
			}
		}
		files.ServeHTTP(w, r)
	})
}

// command sends the page its commands, as events.
func (b *browser) command(w http.ResponseWriter, r *http.Request, ready func()) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	ready()
	for {
		select {
		case <-r.Context().Done():
			return
		case f := <-b.commands:
			data, _ := json.Marshal(f) // a struct of strings and numbers
			_, _ = fmt.Fprintf(w, "data: %s\n\n", data)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// hear takes the lines of one trial, which come one after another.
func (b *browser) hear(w http.ResponseWriter, r *http.Request) {
	var id int
	_, _ = fmt.Sscan(r.PathValue("id"), &id)
	b.mu.Lock()
	t := b.trials[id]
	b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if t == nil || err != nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	for text := range strings.Lines(string(body)) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil {
			t.say(l)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// open opens a frame for the trial, until stop.
func (b *browser) open(ctx context.Context, adapter, url string, needs bool, t *trial) (stop func()) {
	b.mu.Lock()
	b.last++
	id := b.last
	b.trials[id] = t
	b.mu.Unlock()
	b.send(ctx, frame{ID: id, Adapter: adapter, URL: url, Needs: needs})
	return func() {
		b.mu.Lock()
		delete(b.trials, id)
		b.mu.Unlock()
		b.send(ctx, frame{ID: id})
	}
}

func (b *browser) send(ctx context.Context, f frame) {
	select {
	case b.commands <- f:
	case <-ctx.Done():
	}
}
