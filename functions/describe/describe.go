// Package describe serves the API in the words of machines: /openapi.json (OpenAPI
// 3.1) for what is HTTP, and /asyncapi.json (AsyncAPI 3.0) for the blocks of a stream.
// Tests compare both with what the handlers do.
package describe

import (
	"bytes"
	_ "embed"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

// OpenAPI is the document of that name.
//
//go:embed openapi.json
var OpenAPI []byte

// AsyncAPI is the document of that name.
//
//go:embed asyncapi.json
var AsyncAPI []byte

// Register adds GET and HEAD of both to r.
func Register(r *httprouter.Router) {
	for path, document := range map[string][]byte{"/openapi.json": OpenAPI, "/asyncapi.json": AsyncAPI} {
		h := func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(document))
		}
		r.GET(path, h)
		r.HEAD(path, h)
	}
}
