package health

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"

	"github.com/elnormous/contenttype"
)

// page is the root for browsers. Its links are relative, for a proxy may serve
// it under another path.
var page = template.Must(template.New("root").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sluice</title>
</head>
<body>
<h1>Sluice</h1>
<p>Running, {{.Clients}} connected {{if eq .Clients 1}}client{{else}}clients{{end}}.</p>
<ul>
{{- if .Console}}
<li><a href="console">Console</a>: watch the events in this browser</li>
{{- end}}
<li><a href="health">Health</a>: the state of the server and its producers</li>
<li><a href="stream">Stream</a>: the events as text/event-stream</li>
</ul>
</body>
</html>
`))

func (h *Health) page(w http.ResponseWriter, clients int) {
	var text bytes.Buffer
	err := page.Execute(&text, struct {
		Clients int
		Console bool
	}{clients, h.cfg.Console})
	if err != nil { // cannot be: the template is fixed
		h.cfg.Logger.Error("the root page cannot be made", "err", err)
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.write(w, http.StatusOK, "text/html; charset=utf-8", text.Bytes())
}

// The media types of the root. A client that takes either gets the first, as
// curl does.
var rootTypes = []contenttype.MediaType{
	contenttype.NewMediaType("application/json"),
	contenttype.NewMediaType("text/html"),
}

// prefersHTML reports whether an Accept header (RFC 9110, 12.5.1) prefers a page
// to JSON. One that cannot be read, or takes neither, means JSON.
func prefersHTML(accept []string) bool {
	chosen, _, err := contenttype.GetAcceptableMediaTypeFromHeader(strings.Join(accept, ","), rootTypes)
	return err == nil && chosen.Type == "text"
}
