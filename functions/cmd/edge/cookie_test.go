package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// cookiePage reads the stream of another origin with a session's cookie. It renews
// the session when its token ends, goes on where it was, and tells all it sees.
const cookiePage = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
const tell = (what) => fetch("/told", { method: "POST", body: JSON.stringify(what) });
function connect(query) {
  const source = new EventSource("EDGE/stream" + query, { withCredentials: true });
  source.addEventListener("data", (e) => tell({ type: "data", id: e.lastEventId }));
  source.addEventListener("system", async (e) => {
    const system = JSON.parse(e.data);
    await tell({ type: system.type, id: e.lastEventId, resumed: system.resumed });
    if (system.type !== "expired") return;
    source.close();
    await fetch("/login", { method: "POST" });
    connect("?last_event_id=" + e.lastEventId);
  });
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) tell({ type: "closed" }); });
}
if (new URLSearchParams(location.search).has("login")) await fetch("/login", { method: "POST" });
connect("");
</script>`

// told is something that a page has seen.
type told struct{ Type, ID, Resumed string }

// backEnd is a page's back end: it signs its user in with a cookie.
type backEnd struct {
	*httptest.Server
	edge string        // where the page's stream is
	life time.Duration // of the next token

	mu   sync.Mutex
	told []told
}

// newSite serves the page at localhost, another origin than the edge's, and of the
// same site: cookies know no ports (RFC 6265, 8.5).
func newSite(t *testing.T) *backEnd {
	t.Helper()
	s := &backEnd{life: 5 * time.Second}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(strings.ReplaceAll(cookiePage, "EDGE", s.edge)))
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		exp := time.Now().Add(s.life)
		s.life = time.Hour
		s.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "sluice", Value: signed(t, claims("alice", "exp", exp.Unix())), Path: "/stream", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	})
	mux.HandleFunc("POST /told", func(_ http.ResponseWriter, r *http.Request) {
		var what told
		if json.NewDecoder(r.Body).Decode(&what) == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, what)
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *backEnd) origin() string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }

// has reports whether the page has told of something of that type.
func (s *backEnd) has(kind string) bool {
	return slices.ContainsFunc(s.all(), func(w told) bool { return w.Type == kind })
}

func (s *backEnd) all() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// visit opens a page in a headless Chromium, until the test ends.
func visit(t *testing.T, page string) {
	t.Helper()
	binary := installed(t, "chromium")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-dev-shm-usage", "--disable-popup-blocking", "--disable-background-networking", "--no-proxy-server", "--user-data-dir="+t.TempDir(), page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its own processes
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
}

// TestAPageWithACookieReadsAnotherOrigin: in Chromium, signed in by its own back
// end; its session ends, is renewed, and it goes on without a gap. A page of an
// origin that is not allowed, and one without a session, get nothing.
func TestAPageWithACookieReadsAnotherOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page, other, stranger := newSite(t), newSite(t), newSite(t)
	e := r.guarded(t, "AUTH_COOKIE", "sluice", "CORS_ORIGINS", page.origin()+","+stranger.origin(), "JWT_LEEWAY", "0s")
	for _, s := range []*backEnd{page, other, stranger} {
		s.edge = strings.Replace(e.URL(), "127.0.0.1", "localhost", 1)
	}
	visit(t, page.origin()+"/?login")
	require.Eventually(t, func() bool { return page.has("open") }, natstest.Patience, poll)
	first := r.log.Publish("orders.alice.new", "orders.bob.new", "orders.alice.internal", "orders.alice.new")
	require.Eventually(t, func() bool { return page.has("expired") }, natstest.Patience, poll)
	second := r.log.Publish("orders.alice.new")
	data := func() (ids []string) {
		for _, w := range page.all() {
			if w.Type == "data" {
				ids = append(ids, w.ID)
			}
		}
		return ids
	}
	require.Eventually(t, func() bool { return len(data()) >= 3 }, natstest.Patience, poll, "%v", page.all())
	assert.ElementsMatch(t, []string{r.log.ID(first.Seq - 3), r.log.ID(first.Seq), r.log.ID(second.Seq)}, data())
	var opens []string
	for _, w := range page.all() {
		if w.Type == "open" {
			opens = append(opens, w.Resumed)
		}
	}
	assert.Equal(t, []string{"none", "complete"}, opens)
	assert.False(t, page.has("closed"))

	visit(t, other.origin()+"/?login")
	require.Eventually(t, func() bool { return other.has("closed") }, natstest.Patience, poll, "its origin is not allowed")
	assert.Equal(t, []told{{Type: "closed"}}, other.all())
	visit(t, stranger.origin()+"/")
	require.Eventually(t, func() bool { return stranger.has("closed") }, natstest.Patience, poll, "it has no session")
	assert.Equal(t, []told{{Type: "closed"}}, stranger.all())
	assert.NotEmpty(t, fmt.Sprint(e.Records("streams are refused")))
}
