package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// client is one row of the table.
type client struct {
	Name     string
	Module   string // what js/package.json or go/go.mod calls it; its version is in the table
	Lang     string // js, go, python or shell: where its adapter is
	Adapter  string // the adapter's name there
	Page     bool   // it runs in Chromium
	Careless bool   // it takes an id before it has the event
	Heeds401 bool   // with what it needs, it stops where asking again is no use
	Advice   string // what it needs beside the lines of its adapter
}

const (
	ownLoop = "a loop that comes back with the last id: "
	inPage  = true
)

var roster = []client{
	{Name: "`EventSource` (Chromium)", Lang: "js", Adapter: "native", Page: inPage},
	{Name: "eventsource", Module: "eventsource-5", Lang: "js", Adapter: "eventsource-5"},
	{Name: "eventsource", Module: "eventsource-4", Lang: "js", Adapter: "eventsource-4"},
	{Name: "eventsource", Module: "eventsource-3", Lang: "js", Adapter: "eventsource-3"},
	{Name: "eventsource", Module: "eventsource-2", Lang: "js", Adapter: "eventsource-2", Careless: true},
	{Name: "undici `EventSource`", Module: "undici", Lang: "js", Adapter: "undici"},
	{Name: "@microsoft/fetch-event-source", Module: "@microsoft/fetch-event-source", Lang: "js", Adapter: "fetch-event-source", Page: inPage, Careless: true, Heeds401: true, Advice: "`fetch` with the id of the last event, `onclose` that throws, `onopen` that stops at 4xx: [fetch-event-source.js](examples/clients/js/fetch-event-source.js)"},
	{Name: "extended-eventsource", Module: "extended-eventsource", Lang: "js", Adapter: "extended-eventsource", Page: inPage, Careless: true},
	{Name: "event-source-polyfill", Module: "event-source-polyfill", Lang: "js", Adapter: "event-source-polyfill", Page: inPage},
	{Name: "reconnecting-eventsource", Module: "reconnecting-eventsource", Lang: "js", Adapter: "reconnecting-eventsource", Page: inPage},
	{Name: "event-source-plus", Module: "event-source-plus", Lang: "js", Adapter: "event-source-plus", Advice: "payloads of one line"},
	{Name: "eventsource-client", Module: "eventsource-client", Lang: "js", Adapter: "eventsource-client"},
	{Name: "sse.js", Module: "sse.js", Lang: "js", Adapter: "sse.js", Page: inPage, Heeds401: true},
	{Name: "launchdarkly-eventsource", Module: "launchdarkly-eventsource", Lang: "js", Adapter: "launchdarkly"},
	{Name: "launchdarkly/eventsource (Go)", Module: "github.com/launchdarkly/eventsource", Lang: "go", Adapter: "launchdarkly", Heeds401: true},
	{Name: "r3labs/sse (Go)", Module: "github.com/r3labs/sse/v2", Lang: "go", Adapter: "r3labs", Careless: true, Heeds401: true, Advice: "a loop with the id of the last whole event: [r3labs](examples/clients/go/r3labs/main.go)"},
	{Name: "tmaxmax/go-sse (Go)", Module: "github.com/tmaxmax/go-sse", Lang: "go", Adapter: "tmaxmax"},
	{Name: "curl", Lang: "shell", Adapter: "curl", Advice: ownLoop + "[curl_client.sh](examples/curl_client.sh)"},
	{Name: "wget", Lang: "shell", Adapter: "wget", Advice: ownLoop + "[wget.sh](examples/clients/shell/wget.sh)"},
	{Name: "requests (Python)", Lang: "python", Adapter: "use_requests", Heeds401: true, Advice: ownLoop + "[python_client.py](examples/python_client.py)"},
	{Name: "httpx (Python)", Lang: "python", Adapter: "use_httpx", Heeds401: true, Advice: "the same loop"},
	{Name: "aiohttp (Python)", Lang: "python", Adapter: "use_aiohttp", Heeds401: true, Advice: "the same loop"},
}

// source is the file of the client's adapter, below h.dir.
func (c *client) source() string {
	switch c.Lang {
	case "go":
		return filepath.Join("go", c.Adapter, "main.go")
	case "python":
		return filepath.Join("python", c.Adapter+".py")
	case "shell":
		return filepath.Join("shell", c.Adapter+".sh")
	}
	return filepath.Join("js", c.Adapter+".js")
}

// command runs the adapter of a client outside the browser.
func (h *harness) command(c *client) []string {
	switch c.Lang {
	case "go":
		return []string{filepath.Join(h.work, c.Adapter)}
	case "python":
		return []string{h.python, c.source()}
	case "shell":
		return []string{"bash", c.source()}
	}
	return []string{"node", "js/run.mjs", c.Adapter}
}

// needs are the lines of the client's adapter that end in "needs", and whether it
// does anything else when it is told to add what the client needs.
func (h *harness) needs(c *client) (lines []string, careful bool, err error) {
	text, err := os.ReadFile(filepath.Join(h.dir, c.source()))
	if err != nil {
		return nil, false, err
	}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		for _, mark := range []string{"// needs", "# needs"} {
			if code, ok := strings.CutSuffix(l, mark); ok {
				lines = append(lines, strings.TrimSpace(code))
			}
		}
	}
	return lines, strings.Contains(string(text), "needs"), nil
}

// versions are those of the modules in go/go.mod and js/package.json.
func (h *harness) versions() (map[string]string, error) {
	versions := map[string]string{}
	text, err := os.ReadFile(filepath.Join(h.dir, "go", "go.mod"))
	if err != nil {
		return nil, err
	}
	for l := range strings.Lines(string(text)) {
		if f := strings.Fields(l); len(f) > 1 {
			versions[f[0]] = strings.TrimPrefix(f[1], "v")
		}
	}
	text, err = os.ReadFile(filepath.Join(h.dir, "js", "package.json"))
	if err != nil {
		return nil, err
	}
	var npm struct{ Dependencies map[string]string }
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&npm); err != nil {
		return nil, fmt.Errorf("js/package.json: %w", err)
	}
	for name, version := range npm.Dependencies {
		versions[name] = version[strings.LastIndex(version, "@")+1:]
	}
	return versions, nil
}
