//go:build !unix

package stream

import "net/http"

type watch struct{}

func (w *watch) close() {}

// direct is false where sockets cannot be tried: all goes through net/http.
func (h *Handler) direct(http.ResponseWriter, *http.Request) bool { return false }

func (h *Handler) serveDirect(w http.ResponseWriter, r *http.Request, c *connection) {
	h.serveHTTP(w, r, c)
}
