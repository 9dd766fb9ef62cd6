package client_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/julienschmidt/httprouter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/client"
	"sluice/natsembed/natstest"
)

func get(path string, headers ...string) *http.Response {
	router := httprouter.New()
	client.Register(router)
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := b.ReadFrom(resp.Body)
	require.NoError(t, err)
	return b.Bytes()
}

// TestTheModuleIsSmall: 5 KB as a browser gets it compressed.
func TestTheModuleIsSmall(t *testing.T) {
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	require.NoError(t, err)
	_, err = z.Write(body(t, get("/client.js")))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	assert.LessOrEqual(t, small.Len(), 5<<10)
}

// TestTheModuleIsServed: asked for again where it may change, and never where its
// name says its content.
func TestTheModuleIsServed(t *testing.T) {
	for _, tt := range []struct{ path, media, caching string }{
		{"/client.js", "text/javascript; charset=utf-8", "no-cache"},
		{"/client.d.ts", "text/plain; charset=utf-8", "no-cache"},
		{client.Versioned(), "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
	} {
		resp := get(tt.path)
		require.Equal(t, http.StatusOK, resp.StatusCode, tt.path)
		assert.Equal(t, tt.media, resp.Header.Get("Content-Type"))
		assert.Equal(t, tt.caching, resp.Header.Get("Cache-Control"))
		assert.Equal(t, "*", resp.Header.Get("Access-Control-Allow-Origin"))
		assert.Equal(t, http.StatusNotModified, get(tt.path, "If-None-Match", resp.Header.Get("ETag")).StatusCode)
	}
	assert.Equal(t, body(t, get("/client.js")), body(t, get(client.Versioned())))
	assert.Regexp(t, `^/client\.[0-9a-f]{16}\.js$`, client.Versioned())
}

// TestTheModuleInNode runs module/client_test.mjs.
func TestTheModuleInNode(t *testing.T) {
	node, err := exec.LookPath("node")
	require.NoError(t, err, "install nodejs")
	cmd := exec.CommandContext(natstest.Context(t), node, "--test", "client_test.mjs")
	cmd.Dir = "module"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
