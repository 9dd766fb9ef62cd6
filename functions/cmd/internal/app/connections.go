package app

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxStill is how long a connection may carry no stream, without a request
	// or an answer: longer than the server's own limits for that, which are
	// told to the client where they can be.
	maxStill = idleTimeout + 2*readHeaderTimeout
	// bodyTimeout is how long a body that nobody reads may take after its
	// answer. Closed sooner, a client that still sends could miss the answer
	// (RFC 9112, 9.6).
	bodyTimeout = 5 * time.Second
	// A client that ends HTTP/2 streams within rapid of their beginning may do so
	// maxRapid times at once and rapidRate times a second. Then it is told to go
	// away: its other streams go on, new ones need another connection.
	rapid     = time.Second
	maxRapid  = 200
	rapidRate = 20
	// spareFiles are the open files beside those of connections.
	spareFiles = 64
)

// connections are those of the servers that carry no stream. They are bounded in
// number: where one comes that is too many, the one that has been still for the
// longest is closed. So whatever holds connections, a new one is served. They are
// bounded in time by maxStill.
//
// A connection with a stream is the gate's to count and the feed's to end. It
// counts in the number of all: where all are in use by streams, the new one itself
// is closed.
type connections struct {
	max    int        // without a stream, at once
	all    int        // with those of streams
	files  int        // the same by what the process may open; 0 for no such limit
	direct func() int // direct streams: their connections are not a server's any more

	open   prometheus.Gauge // without a stream
	closed prometheus.Counter

	mu     sync.Mutex
	still  list.List // of *place; the front has been still for the longest
	places map[net.Conn]*place
}

// place is a connection's.
type place struct {
	conn    net.Conn
	streams int           // that it carries
	still   *list.Element // nil while it carries one, and at its end
	timer   *time.Timer   // of maxStill
	resets  *rate.Limiter // of streams that ended rapidly; nil before the first
	away    bool          // the client is to be told to go away
}

type placeKey struct{}

// newConnections bounds connections to limit, those of streams and others to all,
// and both to the files that the process may open. An all of 0 is twice the limit.
func newConnections(limit, all int, direct func() int, r prometheus.Registerer) *connections {
	if all == 0 {
		all = 2 * limit
	}
	files := maxFiles()
	c := &connections{
		max: limit, all: all, files: max(files-spareFiles, files/2), direct: direct,
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sse_other_connections", Help: "Open connections that carry no stream.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sse_other_connections_closed_total", Help: "Connections without a stream that were closed for newer ones, or because they were still for too long.",
		}),
		places: map[net.Conn]*place{},
	}
	r.MustRegister(c.open, c.closed)
	return c
}

// watch has the server tell of its connections.
func (c *connections) watch(srv *http.Server) {
	srv.Handler = c.around(srv.Handler)
	srv.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, placeKey{}, c.arrive(conn))
	}
	srv.ConnState = func(conn net.Conn, s http.ConnState) {
		// What is between these two is told by requests.
		if s == http.StateHijacked || s == http.StateClosed {
			c.leave(conn)
		}
	}
}

func (c *connections) arrive(conn net.Conn) *place {
	p := &place{conn: conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places[conn] = p
	c.add(p)
	p.timer = time.AfterFunc(maxStill, func() { c.end(p) })
	open := len(c.places) + c.direct()
	if c.still.Len() > c.max || open > c.all || c.files > 0 && open > c.files {
		// That may be the new one, if all others carry streams. What it costs in
		// files there is room for (spareFiles).
		if longest := c.still.Front().Value.(*place); longest != p || open > c.all {
			c.close(longest)
		}
	}
	return p
}

// leave forgets a connection that is closed, or taken by a direct stream.
func (c *connections) leave(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[conn]
	if p == nil {
		return
	}
	delete(c.places, conn)
	p.timer.Stop()
	c.remove(p)
}

// around notes each request and its end, and has no answer wait for a body.
func (c *connections) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(placeKey{}).(*place)
		if c.touch(p) && r.ProtoMajor == 2 {
			w.Header().Set("Connection", "close") // net/http makes it a GOAWAY
		}
		began := time.Now()
		defer func() {
			c.touch(p)
			if r.ProtoMajor == 2 && r.Context().Err() != nil && time.Since(began) < rapid {
				c.reset(p)
			}
		}()
		if r.ProtoMajor == 1 {
			endBehind(w, r)
		}
		next.ServeHTTP(w, r)
	})
}

// reset notes a stream that its client has ended soon after its beginning.
func (c *connections) reset(p *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.resets == nil {
		p.resets = rate.NewLimiter(rapidRate, maxRapid)
	}
	if !p.resets.Allow() {
		p.away = true
	}
}

// endBehind has the connection end behind an answer where what follows may be
// taken for another request and is none: behind a body that nobody reads, a length
// together with chunks, and in HTTP/1.0 behind chunks, which net/http shows no
// handler (RFC 9112, 6.1). The answer does not wait for such a body. Over HTTP/2
// the stream is reset by itself.
func endBehind(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 && r.ProtoMinor > 0 {
		return
	}
	w.Header().Set("Connection", "close")
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
}

// touch notes that a request or its end is seen. away says that the client is to be
// told to go away.
func (c *connections) touch(p *place) (away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.still != nil {
		c.still.MoveToBack(p.still)
		p.timer.Reset(maxStill)
	}
	return p.away
}

// end closes a connection that has been still for too long.
func (c *connections) end(p *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.still != nil {
		c.close(p)
	}
}

// close closes a connection that is still. The lock is the caller's, and stays:
// a connection that becomes a direct stream meanwhile must not be closed behind
// the back of who writes to its descriptor. TCP does not wait here.
func (c *connections) close(p *place) {
	c.remove(p)
	c.closed.Inc()
	_ = p.conn.Close()
}

// add and remove keep the list. The lock is the caller's.
func (c *connections) add(p *place) {
	p.still = c.still.PushBack(p)
	c.open.Inc()
}

func (c *connections) remove(p *place) {
	if p.still != nil {
		c.still.Remove(p.still)
		p.still = nil
		c.open.Dec()
	}
}

// stream counts a stream that begins (1) or ends (-1) on a connection.
func (c *connections) stream(p *place, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places[p.conn] != p {
		return // it has ended, or is a direct stream's
	}
	p.streams += n
	switch {
	case p.streams > 0:
		p.timer.Stop()
		c.remove(p)
	case p.still == nil:
		c.add(p)
		p.timer.Reset(maxStill)
	}
}

// carry is around a handler of streams: a connection that carries one is not
// still. A direct stream takes its connection away from the server.
func (c *connections) carry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(placeKey{}).(*place)
		s := &streaming{ResponseWriter: w, begin: func() { c.stream(p, 1) }}
		defer func() {
			if s.begun {
				c.stream(p, -1)
			}
		}()
		next.ServeHTTP(s, r)
	})
}

// streaming notes when an answer is a stream: what is refused is not.
type streaming struct {
	http.ResponseWriter
	begin func()
	wrote bool // the status
	begun bool // and it is that of a stream
}

// Unwrap is for http.ResponseController.
func (s *streaming) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *streaming) WriteHeader(status int) {
	if !s.wrote && status == http.StatusOK {
		s.begun = true
		s.begin()
	}
	s.wrote = true
	s.ResponseWriter.WriteHeader(status)
}

func (s *streaming) Write(p []byte) (int, error) {
	if !s.wrote {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(p)
}
