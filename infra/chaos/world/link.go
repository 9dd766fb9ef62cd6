package world

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// Direction is which way of a link is meant. Up is towards the server.
type Direction string

// The directions of a link.
const (
	Up   Direction = "upstream"
	Down Direction = "downstream"
	Both Direction = "both"
)

// A link that was closed for a moment is open again within openWithin.
const openWithin, openPause = 10 * time.Second, 20 * time.Millisecond

type proxies struct {
	server *toxiproxy.ApiServer
	all    []*Link
}

func newProxies() *proxies {
	toxics.Register(lineType, new(line))
	return &proxies{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

func (p *proxies) close() {
	for _, l := range p.all {
		l.proxy.Stop()
	}
}

// Link is a proxy between two parts of the world. Its methods are safe for
// concurrent use.
type Link struct {
	Name  string
	proxy *toxiproxy.Proxy
	lines map[Direction]*line
	cut   sync.Mutex // held while it is closed for a moment

	mu      sync.Mutex
	resets  int       // so far
	faults  int       // that are on it now
	healthy time.Time // since when there is none
}

func (w *World) link(name, upstream string) (*Link, error) {
	free, err := w.ports.free(1) // a link that is opened again is to have its port
	if err != nil {
		return nil, err
	}
	l := &Link{Name: name, healthy: time.Now(), lines: map[Direction]*line{}}
	l.proxy = toxiproxy.NewProxy(w.proxies.server, name, loopback(free[0]), upstream)
	for _, d := range []Direction{Up, Down} {
		toxic, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
			fmt.Sprintf(`{"name":"%s-%s","type":%q,"stream":%q,"attributes":{}}`, lineType, d, lineType, d)))
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", name, err)
		}
		l.lines[d] = toxic.Toxic.(*line)
	}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", name, err)
	}
	w.proxies.all = append(w.proxies.all, l)
	return l, nil
}

// Addr is where it listens.
func (l *Link) Addr() string {
	l.proxy.Lock()
	defer l.proxy.Unlock()
	return l.proxy.Listen
}

// Healthy is since when the link has no fault; ok is false while it has one.
func (l *Link) Healthy() (since time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.healthy, l.faults == 0
}

func (l *Link) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults++
}

func (l *Link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults--
	l.healthy = time.Now()
}

// disturb does something to the lines of a direction until heal is called.
func (l *Link) disturb(d Direction, f func(*line) (heal func())) (heal func()) {
	l.begin()
	heals := []func(){}
	for way, line := range l.lines {
		if d == way || d == Both {
			heals = append(heals, f(line))
		}
	}
	return sync.OnceFunc(func() {
		All(heals)()
		l.end()
	})
}

// Hold lets nothing through until heal is called, as a network does that loses
// every packet: then the rest comes, as TCP would send it again.
func (l *Link) Hold(d Direction) (heal func()) { return l.disturb(d, (*line).hold) }

// Latency delays all that is sent until heal is called.
func (l *Link) Latency(d Direction, by, jitter time.Duration) (heal func()) {
	return l.disturb(d, func(one *line) func() { return one.late(by, jitter) })
}

// Limit ends each connection after so many more bytes to its client, until heal
// is called.
func (l *Link) Limit(bytes int) (heal func()) {
	return l.disturb(Down, func(one *line) func() { return one.cutAfter(bytes) })
}

// Reset resets each connection that is made from now on (RST) after a while,
// and before a byte has come to its client, until heal is called. Those that are
// there end too.
func (l *Link) Reset(after time.Duration) (heal func(), err error) {
	l.begin()
	l.mu.Lock()
	l.resets++
	name := fmt.Sprintf("reset-%d", l.resets)
	l.mu.Unlock()
	_, err = l.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name":%q,"type":"reset_peer","stream":%q,"attributes":{"timeout":%d}}`, name, Down, after.Milliseconds())))
	if err != nil {
		l.end()
		return nil, fmt.Errorf("reset %s: %w", l.Name, err)
	}
	return sync.OnceFunc(func() {
		_ = l.proxy.Toxics.RemoveToxic(context.Background(), name)
		l.end()
	}), nil
}

// Cut closes all connections that are there.
func (l *Link) Cut() error {
	l.begin()
	defer l.end()
	l.cut.Lock() // another cut may be under way
	defer l.cut.Unlock()
	l.proxy.Stop()
	// Somebody who looks for a free port may have taken it for a moment.
	for until := time.Now().Add(openWithin); ; time.Sleep(openPause) {
		err := l.proxy.Start()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("open %s again: %w", l.Name, err)
		}
	}
}
