// Package console serves the browser client: one static page and its script
// and style, embedded in the binary. The page needs nothing but this server:
// it loads no other resource and connects to GET /stream beside it, under
// whatever path prefix a proxy puts both.
package console

import (
	"embed"
	"fmt"

	"github.com/julienschmidt/httprouter"

	"sluice/functions/static"
)

//go:embed page
var page embed.FS

// files are the routes of the page: path, file and media type.
var files = []struct{ path, name, mediaType string }{
	{"/console", "page/index.html", "text/html; charset=utf-8"},
	{"/console/console.css", "page/console.css", "text/css; charset=utf-8"},
	{"/console/console.js", "page/console.js", "text/javascript; charset=utf-8"},
	{"/console/view.js", "page/view.js", "text/javascript; charset=utf-8"},
	{"/console/source.js", "page/source.js", "text/javascript; charset=utf-8"},
}

// policy lets the page use its own script, style and server, and nothing else:
// no inline code, no other origin, no frame around it (W3C CSP Level 3). data:
// is for the empty icon, which saves a request for one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Register adds GET and HEAD of /console and of the page's files to r.
func Register(r *httprouter.Router) {
	for _, f := range files {
		content, err := page.ReadFile(f.name)
		if err != nil {
			panic(fmt.Sprintf("console: embedded file %s: %v", f.name, err))
		}
		static.Register(r, f.path, content, map[string]string{
			"Content-Type":               f.mediaType,
			"Content-Security-Policy":    policy,
			"X-Content-Type-Options":     "nosniff",
			"Referrer-Policy":            "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin",
		})
	}
}
