//go:build !unix

package socket

import (
	"errors"
	"net/http"

	"sluice/functions/stream/feed/fanout"
)

// Conn is a connection that is served directly; there is none where sockets
// cannot be tried: all goes through net/http.
type Conn struct{ fanout.Direct }

// Watch has nothing to watch here.
type Watch struct{}

// Add does nothing.
func (*Watch) Add(*Conn, Cutter) {}

// Close does nothing.
func (*Watch) Close() {}

// CanTake is false.
func CanTake(http.ResponseWriter, *http.Request) bool { return false }

// Take fails.
func Take(http.ResponseWriter, *http.Request, Pace, *Watch) (*Conn, error) {
	return nil, errors.ErrUnsupported
}
