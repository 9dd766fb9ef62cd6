package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/natsembed"
	"sluice/publisher"
)

// world is a log with a real edge before it, which always comes back at the same
// address.
type world struct {
	h    *harness
	addr string
	env  []string
	nats *natsembed.Server
	conn *nats.Conn
	pub  *publisher.Publisher

	edge  *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	ids []string // of the log, in order
}

// newWorld has an edge that is ready, with settings as NAME=value.
func (h *harness) newWorld(ctx context.Context, name string, settings ...string) (w *world, err error) {
	w = &world{h: h}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.nats, err = natsembed.Start(ctx, natsembed.Options{StoreDir: filepath.Join(h.work, name), Port: natsembed.FreePort}); err != nil {
		return w, err
	}
	if w.conn, err = nats.Connect(w.nats.URL(), nats.ReconnectBufSize(-1)); err != nil {
		return w, err
	}
	if w.pub, err = publisher.New(ctx, publisher.Options{Conn: w.conn, Create: true}); err != nil {
		return w, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return w, err
	}
	w.addr = listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(w.addr)
	w.env = append([]string{"HOST=127.0.0.1", "PORT=" + port, "NATS_URL=" + w.nats.URL(), "CORS_ORIGINS=*"}, settings...)
	return w, w.start(ctx)
}

func (w *world) close() {
	if w.edge != nil {
		w.kill()
	}
	if w.pub != nil {
		w.pub.Close()
	}
	if w.conn != nil {
		w.conn.Close()
	}
	if w.nats != nil {
		w.nats.Shutdown()
	}
}

// start starts the edge, with more settings, and waits until it serves.
func (w *world) start(ctx context.Context, settings ...string) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		w.edge = exec.Command(filepath.Join(w.h.work, "edge"))
		w.edge.Env = slices.Concat(os.Environ(), w.env, settings)
		if err := w.edge.Start(); err != nil {
			w.edge = nil
			return err
		}
		ended := make(chan struct{})
		go func(edge *exec.Cmd) { defer close(ended); _ = edge.Wait() }(w.edge) // kill and drain wait for it
		w.ended = ended
		if w.ready(ctx) {
			return nil
		}
		w.kill() // or it has ended: somebody else has the port for a moment
	}
	return fmt.Errorf("the edge at %s is not ready", w.addr)
}

// ready waits until the edge is, and is false when it has ended.
func (w *world) ready(ctx context.Context) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; {
		select {
		case <-w.ended:
			return false
		case <-time.After(pollTime):
		}
		if answer, err := http.Get("http://" + w.addr + "/readyz"); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return true
			}
		}
	}
	return false
}

// kill is kill -9.
func (w *world) kill() {
	_ = w.edge.Process.Kill()
	<-w.ended
}

// drain is SIGTERM, until the edge has ended.
func (w *world) drain() error {
	_ = w.edge.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the edge does not end")
	}
}

// publish appends one event to the log.
func (w *world) publish(ctx context.Context) error {
	return w.pub.Publish(ctx, publisher.Event{Topic: "log.info", Data: []byte(`{"text":"one of many"}`), OnResult: func(r publisher.Result) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ids = append(w.ids, r.ID.String())
	}})
}

// log is the ids of the log so far.
func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.ids...)
}
