// Command clients runs the SSE clients that people use against servers that
// misbehave in known ways, and checks the table of README.md against what it has
// seen.
//
//	go run ./examples/clients            README.md must say what was seen
//	go run ./examples/clients -update    write what was seen into README.md
//	go run ./examples/clients -only r3labs -v
//
// A client has one adapter, a few lines that open it and print what it does: in
// js (a module, for Node and Chromium), go (a module of its own, so that Sluice
// depends on none of them), python or shell. A new client is an adapter and an
// entry in roster.go.
//
// Each client meets, as it comes, every scenario of scenarios.go, from a server
// of its own that sends exact bytes and notes the requests. Then all clients, with
// the lines that they need, follow one real edge through a kill and a drain, and
// each must have every event once and in order; those that are careless with
// their cursor do so again while their connection is cut after every byte of a
// block. All of it runs side by side, on 127.0.0.1.
//
// It needs Go, Node 20 with npm, Chromium (in PATH, or its path in CHROMIUM),
// curl, wget, and python3 with requests, httpx and aiohttp.
package main
