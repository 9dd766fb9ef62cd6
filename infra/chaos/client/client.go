package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

const (
	// firstRetry is the time after which a client comes back that was told none.
	firstRetry = time.Second
	// reload is the time after which a page is loaded again whose EventSource is
	// dead.
	reload = 2 * time.Second
	// moveAfter is after how many failures in a row a client tries another edge,
	// as a load balancer would have it do.
	moveAfter = 2
	// slowBuffer is what the kernel takes for a client that does not read, in
	// bytes.
	slowBuffer = 4 << 10
	// headPatience is how long an answer's head may take before a client tries
	// again. Browsers wait for minutes; a starting edge holds a request for 5 s.
	headPatience = 20 * time.Second
)

// Place is an edge as a client reaches it.
type Place struct {
	Near string // through the proxy
	Far  string // directly: a slow client's buffers must be its own
}

// Kind is how a client is.
type Kind struct {
	Slow        bool // stops reading for some seconds, again and again
	Hopper      bool // another edge and other topics at each connection
	H2C         bool
	CloudEvents bool
	InBand      bool // asks for refusals with status 200
}

// String names what is special.
func (k Kind) String() string {
	var all []string
	for _, f := range []struct {
		on   bool
		name string
	}{{k.Slow, "slow"}, {k.Hopper, "hopper"}, {k.H2C, "h2c"}, {k.CloudEvents, "cloudevents"}, {k.InBand, "inband"}} {
		if f.on {
			all = append(all, f.name)
		}
	}
	if len(all) == 0 {
		return "plain"
	}
	return strings.Join(all, " ")
}

// request is what a client will ask for next. It belongs to Run.
type request struct {
	edge    int
	filters []string
	topics  oracle.Topics
	cursor  string
	reload  bool // the cursor goes into the URL
	retry   time.Duration
	failed  int // connections in a row that gave nothing
}

// State is what is known of a client at a moment.
type State struct {
	Edge      int // that it is connected to, -1 for none
	Connected oracle.Time
	Fed       oracle.Time // its last event or gap
	Pos       event.ID
	Busy      bool // its topics have many events
}

// Client is one client.
type Client struct {
	Name   string
	Kind   Kind
	places []Place
	book   *oracle.Book
	write  *oracle.Writer
	rand   *rand.Rand
	web    *http.Client

	ask request

	mu    sync.Mutex
	state State
	died  int  // connections that ended at a status
	brisk bool // it is not slow any more
}

// New makes the client of a number.
func New(n int, kind Kind, places []Place, book *oracle.Book, r *rand.Rand) *Client {
	c := &Client{
		Kind: kind, places: places, book: book, rand: r, state: State{Edge: -1},
		ask: request{edge: r.IntN(len(places)), retry: firstRetry},
	}
	c.choose()
	topics := strings.Join(c.ask.filters, " ")
	if kind.Hopper {
		topics = "changing topics"
	}
	c.Name = fmt.Sprintf("client %d (%s, %s)", n, kind, topics)
	c.write = book.Client(c.Name)
	dialer := &net.Dialer{Timeout: headPatience}
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, Protocols: new(http.Protocols),
		ResponseHeaderTimeout: headPatience,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if tcp, ok := conn.(*net.TCPConn); ok && c.slow() {
				err = errors.Join(err, tcp.SetReadBuffer(slowBuffer))
			}
			return conn, err
		},
	}
	transport.Protocols.SetHTTP1(!kind.H2C)
	transport.Protocols.SetUnencryptedHTTP2(kind.H2C)
	c.web = &http.Client{Transport: transport}
	return c
}

// choose takes topics.
func (c *Client) choose() {
	c.ask.filters, c.ask.topics = choices(c.rand)
}

// State is what is known of it now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Hurry has a slow client be slow no more, so that it comes to the end of the log.
func (c *Client) Hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brisk = true
}

func (c *Client) slow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Kind.Slow && !c.brisk
}

// Died is how many connections a status ended that was not 200.
func (c *Client) Died() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.died
}

// Run reads until ctx ends.
func (c *Client) Run(ctx context.Context) {
	defer c.web.CloseIdleConnections()
	for ctx.Err() == nil {
		wait := c.connect(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// connect is one connection, and how long the client waits after it.
func (c *Client) connect(ctx context.Context) (wait time.Duration) {
	if c.Kind.Hopper {
		c.ask.edge = (c.ask.edge + 1) % len(c.places)
		c.choose()
	} else if c.ask.failed >= moveAfter {
		c.ask.edge, c.ask.failed = (c.ask.edge+1)%len(c.places), 0
	}
	c.ask.failed++
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.next(ctx)
	if err != nil {
		panic(err) // our own URL
	}
	cursor, _ := event.ParseID(c.ask.cursor)
	c.write.Connected(c.ask.edge, c.ask.topics, cursor)
	res, err := c.web.Do(req)
	if err != nil {
		c.write.Closed(err.Error())
		return c.jitter(c.ask.retry)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 256))
		c.write.Closed(fmt.Sprintf("%s %s", res.Status, said))
		c.mu.Lock()
		c.died++
		c.mu.Unlock()
		c.ask.reload = true
		return c.jitter(reload)
	}
	c.connected(true)
	err = c.read(ctx, res.Body)
	c.connected(false)
	c.write.Closed(err.Error())
	return c.jitter(c.ask.retry)
}

// jitter is d and a little more or less.
func (c *Client) jitter(d time.Duration) time.Duration {
	return d*9/10 + time.Duration(c.rand.Int64N(int64(d/5)+1))
}

func (c *Client) next(ctx context.Context) (*http.Request, error) {
	place := c.places[c.ask.edge].Near
	if c.Kind.Slow {
		place = c.places[c.ask.edge].Far
	}
	q := url.Values{"topic": c.ask.filters}
	if c.Kind.CloudEvents {
		q.Set("format", "cloudevents")
	}
	if c.Kind.InBand {
		q.Set("busy", "inband")
	}
	if c.ask.reload && c.ask.cursor != "" {
		q.Set("last_event_id", c.ask.cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place+"/stream?"+q.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if c.ask.cursor != "" && !c.ask.reload {
		req.Header.Set("Last-Event-ID", c.ask.cursor)
	}
	c.ask.reload = false
	return req, nil
}

func (c *Client) connected(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Edge = -1
	if yes {
		c.state.Edge, c.state.Connected = c.ask.edge, c.book.Now()
		c.state.Busy = busy(c.ask.topics)
	}
}

// read reads until the connection ends, and returns why.
func (c *Client) read(ctx context.Context, body io.Reader) error {
	p := newParser(body)
	rest := c.pace(ctx)
	for {
		rest()
		b, err := p.next()
		if err != nil {
			return err
		}
		c.take(b)
	}
}

// pace is what a client does before each block: a slow one rests now and then.
func (c *Client) pace(ctx context.Context) func() {
	if !c.Kind.Slow {
		return func() {}
	}
	const awake, asleep = 4 * time.Second, 12 * time.Second
	until := time.Now().Add(c.jitter(awake))
	return func() {
		if time.Now().Before(until) || !c.slow() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.jitter(asleep)):
		}
		until = time.Now().Add(c.jitter(awake))
	}
}

// take takes one block.
func (c *Client) take(b block) {
	if b.retry > 0 {
		c.ask.retry = b.retry
	}
	if refused(b) {
		return
	}
	s := c.step(b)
	c.write.Got(s)
	c.ask.cursor = b.id
	c.ask.failed = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Pos = s.ID
	if s.Kind == oracle.Event || s.Kind == oracle.Gap {
		c.state.Fed = c.book.Now()
	}
}

// choices are some filters and the topics that they match.
func choices(r *rand.Rand) (filters []string, topics oracle.Topics) {
	all := []string{">", "metric.>", "order.>", "*.created.*", "metric.cpu.*", "order.paid.eu", "log.*", "metric.cpu.a", "alert.*", "*.*.a"}
	switch r.IntN(8) {
	case 0:
		filters = []string{"alert.rare"}
	case 1, 2:
		filters = []string{">"}
	default:
		for _, i := range r.Perm(len(all))[:1+r.IntN(3)] {
			filters = append(filters, all[i])
		}
	}
	for _, t := range load.Topics() {
		topics = append(topics, anyMatches(filters, t))
	}
	return filters, topics
}

func anyMatches(filters []string, topic string) bool {
	for _, f := range filters {
		if event.Matches(f, topic) {
			return true
		}
	}
	return false
}

// busy reports whether something else than the rare topic is among them.
func busy(topics oracle.Topics) bool {
	for i, on := range topics {
		if on && i != load.Rare() {
			return true
		}
	}
	return false
}
