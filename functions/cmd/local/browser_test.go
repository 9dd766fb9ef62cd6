package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
)

// TestALaptopServesItsOwnName: a page whose name was made to point here is of no
// use (DNS rebinding).
func TestALaptopServesItsOwnName(t *testing.T) {
	p := execute(t, nil)
	p.WaitReady()
	port := p.URL()[strings.LastIndex(p.URL(), ":"):]
	ask := func(p *cmdtest.Process, host string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, p.URL()+"/stream", http.NoBody)
		require.NoError(t, err)
		r.Host = host
		resp, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	for _, host := range []string{"localhost" + port, "LOCALHOST", "localhost.", "app.localhost:1", "127.0.0.1" + port, "127.9.9.9", "[::1]" + port} {
		assert.Equal(t, http.StatusOK, ask(p, host), host)
	}
	for _, host := range []string{"evil.example" + port, "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "xlocalhost"} {
		assert.Equal(t, http.StatusMisdirectedRequest, ask(p, host), host)
	}
	open := execute(t, map[string]string{"HOST": "0.0.0.0"})
	open.WaitReady()
	assert.Equal(t, http.StatusOK, ask(open, "laptop.lan"), "others are let in")
}

// TestALaptopIsReadByItsOwnPagesAndFiles.
func TestALaptopIsReadByItsOwnPagesAndFiles(t *testing.T) {
	p := execute(t, nil)
	p.WaitReady()
	port := p.URL()[strings.LastIndex(p.URL(), ":"):]
	allowed := func(origin string) string {
		return p.Do(http.MethodHead, "/stream", "Origin", origin).Header.Get("Access-Control-Allow-Origin")
	}
	for _, origin := range []string{"null", "http://localhost" + port, "http://127.0.0.1" + port} {
		assert.Equal(t, origin, allowed(origin))
	}
	for _, origin := range []string{"https://evil.example", "http://localhost:1", "https://localhost" + port} {
		assert.Empty(t, allowed(origin), origin)
	}
}
