// Package client serves the browser module: /client.js, its declarations, and a name
// of it that never changes content. What the module promises stands in
// module/client.d.ts.
package client

import (
	_ "embed"

	"github.com/julienschmidt/httprouter"

	"sluice/functions/static"
)

//go:embed module/client.js
var script []byte

//go:embed module/client.d.ts
var declarations []byte

// Versioned is the path of the module whose content never changes.
func Versioned() string { return "/client." + static.Hash(script) + ".js" }

// Register adds GET and HEAD of the module's paths to r. Pages of every origin may
// load it: it holds nothing that is not public.
func Register(r *httprouter.Router) {
	public := func(mediaType, caching string) map[string]string {
		return map[string]string{
			"Content-Type":                 mediaType,
			"Cache-Control":                caching,
			"Cross-Origin-Resource-Policy": "cross-origin",
			"Access-Control-Allow-Origin":  "*",
		}
	}
	// A page asks each time whether a name has changed that can, and never where it
	// cannot (RFC 8246).
	const mayChange, never = "no-cache", "public, max-age=31536000, immutable"
	const mediaScript = "text/javascript; charset=utf-8"
	static.Register(r, "/client.js", script, public(mediaScript, mayChange))
	static.Register(r, Versioned(), script, public(mediaScript, never))
	static.Register(r, "/client.d.ts", declarations, public("text/plain; charset=utf-8", mayChange))
}
