package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// look has a page of the example tell what it shows, by a name of its own.
const look = `<script>
const name = sessionStorage.name ??= Math.random();
setInterval(() => fetch("/told?name=" + name, { method: "POST", body: JSON.stringify(document.querySelector("#answer").textContent) }).then((r) => r.text()).then((what) => {
  if (what === "reload") location.reload();
  if (what === "open") open(location.href, "_blank", "noopener");
}), 50);
</script>`

// onlooker stands before the example's server, and sees its pages.
type onlooker struct {
	*httptest.Server
	mu    sync.Mutex
	shown map[string]string // by page
	say   string            // to the next page that tells
}

func newOnlooker(t *testing.T, server *url.URL) *onlooker {
	t.Helper()
	o := &onlooker{shown: map[string]string{}}
	mux := http.NewServeMux()
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.ModifyResponse = func(r *http.Response) error {
		page, err := io.ReadAll(r.Body)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			page = append(page, look...)
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(page))), int64(len(page))
		r.Header.Set("Content-Length", fmt.Sprint(len(page)))
		return err
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	mux.Handle("/", proxy)
	mux.HandleFunc("POST /told", func(w http.ResponseWriter, r *http.Request) {
		var text string
		if json.NewDecoder(r.Body).Decode(&text) != nil {
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.shown[r.URL.Query().Get("name")] = text
		_, _ = io.WriteString(w, o.say)
		o.say = ""
	})
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

// tell has the next page that tells something do it.
func (o *onlooker) tell(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.say = what
}

// words are how many each page shows.
func (o *onlooker) words() (all []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, text := range o.shown {
		all = append(all, len(strings.Fields(text)))
	}
	return all
}

// answerer starts the example's server.
func answerer(t *testing.T, edge, port string) (cmd *exec.Cmd, at string) {
	t.Helper()
	cmd = exec.Command(installed(t, "node"), "../../../examples/resumable_answer/answer.mjs", edge)
	cmd.Env = append(os.Environ(), "PORT="+port)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	at, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.TrimSpace(at)
}

// TestAnAnswerOutlivesAll: examples/resumable_answer in Chromium. In the middle of an
// answer its page is reloaded and opened once more, the edge is killed, and the server
// that answers is too, and asked again: both pages have the answer whole, each word
// once.
func TestAnAnswerOutlivesAll(t *testing.T) {
	r := newRig(t)
	const origin = "http://localhost:"
	settings := []string{"FUNCTIONS", "stream,publish", "CORS_ORIGINS", "*", "RETRY", "100ms"}
	e := r.edge(t, settings...)
	_, port, _ := strings.Cut(strings.TrimPrefix(e.URL(), "http://"), ":")
	settings = append(settings, "PORT", port)
	server, at := answerer(t, e.URL(), "0")
	address, err := url.Parse(strings.Replace(at, "localhost", "127.0.0.1", 1))
	require.NoError(t, err)
	o := newOnlooker(t, address)
	visit(t, strings.Replace(o.URL, "http://127.0.0.1:", origin, 1)+"/#q1")
	atLeast := func(words, pages int) {
		t.Helper()
		require.Eventually(t, func() bool {
			enough := 0
			for _, n := range o.words() {
				if n >= words {
					enough++
				}
			}
			return enough >= pages
		}, natstest.Patience, 10*time.Millisecond)
	}
	atLeast(20, 1)
	o.tell("reload")
	atLeast(40, 1)
	o.tell("open")
	atLeast(60, 2)
	e.Kill()
	r.edge(t, settings...)
	atLeast(90, 2)
	require.NoError(t, server.Process.Kill())
	_ = server.Wait()
	answerer(t, e.URL(), address.Port())
	o.tell("reload") // which asks again
	atLeast(200, 2)
	words := strings.Fields("the answer is a topic of the log and each of its words is an event with an id that resumes")
	var want []string
	for n := range 200 {
		want = append(want, words[n%len(words)])
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	require.Len(t, o.shown, 2)
	for page, text := range o.shown {
		assert.Equal(t, want, strings.Fields(text), "page %s", page)
	}
}
