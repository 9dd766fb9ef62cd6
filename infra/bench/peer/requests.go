package peer

import (
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// Requests counts the requests that a NATS server's JetStream API gets,
// whoever sends them.
type Requests struct {
	conn *nats.Conn
	mu   sync.Mutex
	kind map[string]int
}

// CountRequests counts from now until Close.
func CountRequests(natsURL string) (*Requests, error) {
	conn, err := nats.Connect(natsURL, nats.Name("sluice-bench requests"))
	if err != nil {
		return nil, fmt.Errorf("connect to %s to count requests: %w", natsURL, err)
	}
	r := &Requests{conn: conn, kind: map[string]int{}}
	if _, err = conn.Subscribe("$JS.API.>", r.count); err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("count requests: %w", err)
	}
	return r, nil
}

// count takes one request; its kind is what precedes the names in its subject,
// such as CONSUMER.MSG.NEXT.
func (r *Requests) count(m *nats.Msg) {
	tokens := strings.Split(strings.TrimPrefix(m.Subject, "$JS.API."), ".")
	n := 2
	if len(tokens) > 2 && tokens[1] == "MSG" || len(tokens) > 2 && tokens[1] == "DURABLE" {
		n = 3
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kind[strings.Join(tokens[:min(n, len(tokens))], ".")]++
}

// Counts is the number of requests by kind.
func (r *Requests) Counts() (map[string]int, error) {
	if err := r.conn.Flush(); err != nil {
		return nil, fmt.Errorf("count requests: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.kind), nil
}

// Close stops counting.
func (r *Requests) Close() { r.conn.Close() }
