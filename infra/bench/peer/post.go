package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// poster publishes by POST on one kept connection. Requests follow one another
// without waiting for the answers (HTTP/1.1 pipelining, RFC 9112, 9.3.2), which
// keeps their order; a goroutine that Close waits for reads the answers.
type poster struct {
	conn   net.Conn
	host   string
	slots  chan struct{} // one token per unanswered request
	failed chan struct{} // closed with err set
	reader sync.WaitGroup
	err    error
	req    []byte
	stop   func() bool // keeps the end of the context from closing conn
}

func (s *Server) poster(ctx context.Context, pending int) (Publisher, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s to publish: %w", s.Name, err)
	}
	p := &poster{conn: conn, host: s.Addr.String(), slots: make(chan struct{}, pending), failed: make(chan struct{})}
	p.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // a write may be waiting
	p.reader.Go(p.readAnswers)
	return p, nil
}

// readAnswers takes one slot back per answer until the connection ends.
func (p *poster) readAnswers() {
	defer close(p.failed)
	r := bufio.NewReader(p.conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			p.err = fmt.Errorf("publish by POST: %w", err)
			return
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode/100 != 2 {
			err = errors.New(res.Status)
		}
		if err != nil {
			p.err = fmt.Errorf("publish by POST: %w", err)
			return
		}
		<-p.slots
	}
}

func (p *poster) Publish(ctx context.Context, topic string, data []byte) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	p.req = fmt.Appendf(p.req[:0], "POST /pub?id=%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		url.QueryEscape(topic), p.host, len(data), data)
	if _, err := p.conn.Write(p.req); err != nil {
		return fmt.Errorf("publish by POST: %w", err)
	}
	return nil
}

func (p *poster) take(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.failed:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Flush takes all slots, which are free when all requests are answered.
func (p *poster) Flush(ctx context.Context) error {
	for range cap(p.slots) {
		if err := p.take(ctx); err != nil {
			return err
		}
		defer func() { <-p.slots }()
	}
	return nil
}

func (p *poster) Close() {
	p.stop()
	_ = p.conn.Close() // wakes the reader
	p.reader.Wait()
}
