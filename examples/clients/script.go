package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ending is what a server does after the bytes of an answer.
type ending int

const (
	hold  ending = iota // keeps the connection open
	clean               // ends the answer as HTTP wants it
	cut                 // closes the connection in the middle of the answer
	leave               // as cut, and nobody listens for awayTime
)

// awayTime is how long a server that leaves is away: longer than every client's
// first waits.
const awayTime = 2500 * time.Millisecond

// settleTime is left to a client for what was sent last before a cut: some drop
// what they have not read by then.
const settleTime = 300 * time.Millisecond

// answer is what one request gets.
type answer struct {
	status int // 0 is 200
	body   string
	part   string // sent when the client has said all events of body
	ending ending
}

// script says what request number n gets, counted from 1, with its cursor.
type script func(n int, cursor string) answer

// request is a request that a server got, and when its answer had ended.
type request struct {
	cursor  string
	inQuery bool // the cursor came in the URL
	at      time.Time
	ended   time.Time // zero while it is open
}

// server plays a script to one client, byte by byte.
type server struct {
	script script
	caught func(body string) bool // the client has said the events of body
	addr   string
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	listener net.Listener
	conns    map[net.Conn]bool
	requests []request
}

func serve(s script, caught func(string) bool) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &server{script: s, caught: caught, addr: listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}}
	v.wg.Go(func() { v.accept(listener) })
	return v, nil
}

func (v *server) url() string { return "http://" + v.addr + "/stream" }

// seen is a copy of the requests so far.
func (v *server) seen() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]request(nil), v.requests...)
}

// close ends everything and waits for it.
func (v *server) close() {
	v.mu.Lock()
	v.closed = true
	_ = v.listener.Close()
	for conn := range v.conns {
		_ = conn.Close()
	}
	v.mu.Unlock()
	v.wg.Wait()
}

func (v *server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		v.mu.Lock()
		if v.closed {
			_ = conn.Close()
		} else {
			v.conns[conn] = true
			v.wg.Go(func() { v.handle(conn) })
		}
		v.mu.Unlock()
	}
}

// handle answers one request; each has a connection of its own.
func (v *server) handle(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		v.mu.Lock()
		delete(v.conns, conn)
		v.mu.Unlock()
	}()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	if r.Method == http.MethodOptions { // a browser asks whether the page may send a header
		_, _ = fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n"+corsHeaders+"\r\n")
		return
	}
	n, cursor := v.note(r)
	a := v.script(n, cursor)
	v.send(conn, a)
	switch a.ending {
	case hold:
		_, _ = conn.Read(make([]byte, 1)) // until the client goes, or close
	case cut, leave:
		v.wait(a.body)
		if a.part != "" {
			_, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(a.part), a.part)
			time.Sleep(settleTime)
		}
	}
	if a.ending == leave {
		v.leave()
	}
	_ = conn.Close()
	v.mu.Lock()
	v.requests[n-1].ended = time.Now()
	v.mu.Unlock()
}

// wait waits until the client has said what it was sent, or the server ends.
func (v *server) wait(body string) {
	for !v.caught(body) {
		time.Sleep(pollTime)
		v.mu.Lock()
		closed := v.closed
		v.mu.Unlock()
		if closed {
			return
		}
	}
}

const corsHeaders = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\nConnection: close\r\n"

func (v *server) note(r *http.Request) (n int, cursor string) {
	cursor = r.Header.Get("Last-Event-ID")
	inQuery := cursor == "" && r.URL.Query().Has("lastEventId")
	if inQuery {
		cursor = r.URL.Query().Get("lastEventId")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, request{cursor: cursor, inQuery: inQuery, at: time.Now()})
	return len(v.requests), cursor
}

func (v *server) send(conn net.Conn, a answer) {
	var b strings.Builder
	switch a.status {
	case 0, http.StatusOK:
		b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nTransfer-Encoding: chunked\r\n" + corsHeaders + "\r\n")
		if a.body != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(a.body), a.body)
		}
		if a.ending == clean {
			b.WriteString("0\r\n\r\n")
		}
	default:
		fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: %d\r\n%s\r\n%s",
			a.status, http.StatusText(a.status), len(a.body), corsHeaders, a.body)
	}
	_, _ = conn.Write([]byte(b.String()))
}

// leave takes the listener away for awayTime.
func (v *server) leave() {
	v.mu.Lock()
	_ = v.listener.Close()
	v.mu.Unlock()
	v.wg.Go(func() {
		time.Sleep(awayTime)
		for {
			v.mu.Lock()
			if v.closed {
				v.mu.Unlock()
				return
			}
			listener, err := net.Listen("tcp", v.addr)
			if err == nil {
				v.listener = listener
				v.wg.Go(func() { v.accept(listener) })
			}
			v.mu.Unlock()
			if err == nil {
				return
			}
			time.Sleep(pollTime) // somebody else has the port for a moment
		}
	})
}
