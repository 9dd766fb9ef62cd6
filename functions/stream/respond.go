package stream

import (
	"bytes"
	"net/http"
	"time"
)

// setHeaders sets what every event stream carries.
func setHeaders(h http.Header, connection string) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	if connection != "" {
		h.Set("Connection", connection)
	}
}

// connectionHeader is Connection through net/http: HTTP/2 forbids it (RFC 9113,
// 8.2.2). Behind a body, which nobody reads, nothing can be another request.
func connectionHeader(r *http.Request) string {
	switch {
	case r.ProtoMajor != 1:
		return ""
	case r.ContentLength != 0:
		return "close"
	case r.ProtoMinor == 1:
		return "keep-alive"
	default:
		return ""
	}
}

// head is the status line and the headers of a direct stream, with those that
// handlers around this one have set. The version is the server's own, whatever
// else of HTTP/1 the client speaks (RFC 9110, 6.2); 1.0 knows no chunks.
func head(set http.Header, r *http.Request) []byte {
	setHeaders(set, "close")
	set.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	proto := "HTTP/1.0"
	if r.ProtoAtLeast(1, 1) {
		proto = "HTTP/1.1"
		set.Set("Transfer-Encoding", "chunked")
	}
	b := bytes.NewBufferString(proto + " 200 OK\r\n")
	_ = set.Write(b) // a Buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// writeBlock answers 200 with one block and ends: the client comes back by
// itself.
func writeBlock(w http.ResponseWriter, r *http.Request, block []byte) {
	setHeaders(w.Header(), connectionHeader(r))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(block)
}
