// Package client serves the browser module: /client.js, its declarations, and a name
// of it that never changes content. What the module promises stands in
// module/client.d.ts.
package client

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

//go:embed module/client.js
var script []byte

//go:embed module/client.d.ts
var declarations []byte

// hashBytes of the content are in the versioned name, and in the ETags.
const hashBytes = 8

const (
	mediaScript = "text/javascript; charset=utf-8"
	// A page asks each time whether a name has changed that can, and never where it
	// cannot (RFC 8246).
	mayChange = "no-cache"
	never     = "public, max-age=31536000, immutable"
)

// Versioned is the path of the module whose content never changes.
func Versioned() string { return "/client." + hash(script) + ".js" }

// Register adds GET and HEAD of the module's paths to r. Pages of every origin may
// load it: it holds nothing that is not public.
func Register(r *httprouter.Router) {
	for path, h := range map[string]httprouter.Handle{
		"/client.js":   handler(script, mediaScript, mayChange),
		"/client.d.ts": handler(declarations, "text/plain; charset=utf-8", mayChange),
		Versioned():    handler(script, mediaScript, never),
	} {
		r.GET(path, h)
		r.HEAD(path, h)
	}
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:hashBytes])
}

func handler(content []byte, mediaType, caching string) httprouter.Handle {
	etag := `"` + hash(content) + `"`
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Cache-Control", caching)
		h.Set("ETag", etag)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if h.Get("Access-Control-Allow-Origin") == "" {
			h.Set("Access-Control-Allow-Origin", "*")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}
