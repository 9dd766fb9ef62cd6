package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/julienschmidt/httprouter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/console"
)

func get(t *testing.T, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r := httprouter.New()
	console.Register(r)
	request := httptest.NewRequest(method, path, nil)
	request.Header = header
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	return w.Result(), string(body)
}

// reference finds what a file loads: src, href, import and url().
var reference = regexp.MustCompile(`(?:src=|href=|from |import\(|url\()["']([^"']+)["']`)

func TestPageLoadsOnlyItself(t *testing.T) {
	seen := map[string]bool{}
	for queue := []string{"/console"}; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		if seen[path] {
			continue
		}
		seen[path] = true
		answer, body := get(t, http.MethodGet, path, nil)
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
		for _, found := range reference.FindAllStringSubmatch(body, -1) {
			target := found[1]
			if target == "data:," {
				continue
			}
			assert.NotContains(t, target, "//", "%s loads from elsewhere", path)
			queue = append(queue, "/console/"+strings.TrimPrefix(strings.TrimPrefix(target, "./"), "console/"))
		}
	}
	assert.Len(t, seen, 5, "the page, its style and its three scripts refer to one another")
}

func TestPageObeysItsPolicy(t *testing.T) {
	answer, body := get(t, http.MethodGet, "/console", nil)
	policy := answer.Header.Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'")
	assert.NotContains(t, policy, "unsafe")
	assert.NotRegexp(t, `(?i)<script>|<style|\son[a-z]+=|\sstyle=`, body, "inline code would not run")
	assert.Equal(t, "text/html; charset=utf-8", answer.Header.Get("Content-Type"))
	assert.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))

	for _, script := range []string{"source.js", "view.js", "console.js"} {
		answer, body = get(t, http.MethodGet, "/console/"+script, nil)
		assert.Equal(t, "text/javascript; charset=utf-8", answer.Header.Get("Content-Type"))
		assert.NotRegexp(t, `innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`, body, "%s: events are text", script)
	}
}

func TestEveryFieldHasALabel(t *testing.T) {
	_, body := get(t, http.MethodGet, "/console", nil)
	fields := regexp.MustCompile(`<(?:input|select)[^>]*\bid="([^"]+)"`).FindAllStringSubmatch(body, -1)
	require.NotEmpty(t, fields)
	for _, field := range fields {
		assert.Contains(t, body, `<label for="`+field[1]+`"`)
	}
}

func TestUnchangedFilesAreNotSentAgain(t *testing.T) {
	answer, _ := get(t, http.MethodGet, "/console", nil)
	etag := answer.Header.Get("ETag")
	require.NotEmpty(t, etag)
	answer, body := get(t, http.MethodGet, "/console", http.Header{"If-None-Match": {etag}})
	assert.Equal(t, http.StatusNotModified, answer.StatusCode)
	assert.Empty(t, body)
}

func TestRoutes(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, "/console", http.StatusOK},
		{http.MethodGet, "/console/", http.StatusMovedPermanently},
		{http.MethodPost, "/console", http.StatusMethodNotAllowed},
		{http.MethodGet, "/console/page/index.html", http.StatusNotFound},
		{http.MethodGet, "/console/../go.mod", http.StatusNotFound},
	} {
		answer, _ := get(t, tt.method, tt.path, nil)
		assert.Equal(t, tt.status, answer.StatusCode, "%s %s", tt.method, tt.path)
	}
}
