// Package stream answers GET /stream: request → cursor → subscription →
// response.
//
// A request is checked before anything is spent on it, and one to an instance
// that starts waits for the log, a little. What an EventSource must survive is
// said in-band with status 200; other refusals are a status and a JSON body.
// HTTP/1.1 in clear text is served directly on the hijacked connection,
// everything else (HTTP/2, h2c, TLS) through net/http: the bytes are the same.
//
// The handler's goroutine blocks for as long as the response lasts only on the
// way through net/http. Wait returns after all goroutines of the direct way
// have.
package stream
