// Package static serves files that are in the binary.
package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

// hashBytes of a file's SHA-256 tell its versions apart.
const hashBytes = 8

// Hash names a version of a file.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:hashBytes])
}

// Register adds GET and HEAD of a file to r. Its answers have the header, of which
// what is set already stays; by default a browser keeps the file, and asks each time
// whether it has changed, so a new release shows at once.
func Register(r *httprouter.Router, path string, content []byte, header map[string]string) {
	etag := `"` + Hash(content) + `"`
	h := func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		set := func(name, value string) {
			if w.Header().Get(name) == "" {
				w.Header().Set(name, value)
			}
		}
		for name, value := range header {
			set(name, value)
		}
		set("Cache-Control", "no-cache")
		set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
	r.GET(path, h)
	r.HEAD(path, h)
}
