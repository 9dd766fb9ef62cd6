// Package describe serves the API in the words of machines: /openapi.json (OpenAPI
// 3.1) for what is HTTP, and /asyncapi.json (AsyncAPI 3.0) for the blocks of a stream.
// Tests compare both with what the handlers do.
package describe

import (
	_ "embed"

	"github.com/julienschmidt/httprouter"

	"sluice/functions/static"
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
		static.Register(r, path, document, map[string]string{"Content-Type": "application/json"})
	}
}
