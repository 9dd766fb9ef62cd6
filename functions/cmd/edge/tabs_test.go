package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// tabPage reads a stream of another origin with client.js, in tabs that the first
// one opens. Each tells what it sees; what it has seen when it goes it tells too.
const tabPage = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
import { connect } from "EDGE/client.js";
const tab = new URLSearchParams(location.search).get("tab");
if (tab === "0" && !sessionStorage.opened) {
  sessionStorage.opened = "yes";
  for (let n = 1; n < TABS; n++) open("/?tab=" + n, "_blank", "noopener");
}
const stream = connect("EDGE/stream", { topics: ["a"], from: "start", token: async () => (await fetch("/token")).text() });
const seen = [];
stream.addEventListener("*", ({ event }) => seen.push(event.id));
stream.addEventListener("gap", () => seen.push("gap"));
stream.addEventListener("refused", ({ reason }) => seen.push("refused " + reason));
const told = () => JSON.stringify(seen.splice(0));
addEventListener("pagehide", () => navigator.sendBeacon("/told?tab=" + tab, told()));
for (;;) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  const answer = await fetch("/told?tab=" + tab, { method: "POST", body: told(), keepalive: true });
  if ((await answer.text()) === "reload") { location.reload(); break; }
}
</script>`

const tabs = 5

// tabSite serves tabPage, its tokens, and takes what the tabs tell.
type tabSite struct {
	*httptest.Server
	mu     sync.Mutex
	seen   map[string][]string // by tab
	reload map[string]bool     // tabs that are to
	tokens int                 // given
}

func newTabSite(t *testing.T) *tabSite {
	t.Helper()
	s := &tabSite{seen: map[string][]string{}, reload: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		s.tokens++
		life := time.Hour
		if s.tokens == 1 {
			life = 5 * time.Second // of the first, which is to be renewed
		}
		s.mu.Unlock()
		_, _ = w.Write([]byte(signed(t, claims("alice", "exp", time.Now().Add(life).Unix(), "sluice", map[string]any{"subscribe": []string{"a"}}))))
	})
	mux.HandleFunc("POST /told", func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		if json.NewDecoder(r.Body).Decode(&ids) != nil {
			return
		}
		tab := r.URL.Query().Get("tab")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen[tab] = append(s.seen[tab], ids...)
		if s.reload[tab] {
			delete(s.reload, tab)
			_, _ = w.Write([]byte("reload"))
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// serve is the page of an edge.
func (s *tabSite) serve(edge string) {
	page := strings.NewReplacer("EDGE", edge, "TABS", "5").Replace(tabPage)
	s.Config.Handler.(*http.ServeMux).HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	})
}

// all reports whether each tab has told of so many things.
func (s *tabSite) all(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seen := range s.seen {
		if len(seen) < n {
			return false
		}
	}
	return len(s.seen) == tabs
}

// TestFiveTabsShareOneConnection: in Chromium; the edge is killed and comes back
// twice, a token is renewed, the tab that leads and another one reload in between:
// every tab has every event once, in order.
func TestFiveTabsShareOneConnection(t *testing.T) {
	r := newRig(t)
	s := newTabSite(t)
	origin := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	settings := []string{"AUTH", "jwt", "JWT_SECRET", secret, "CORS_ORIGINS", origin, "RETRY", "100ms", "JWT_LEEWAY", "0s"}
	e := r.edge(t, settings...)
	s.serve(e.URL())
	_, port, _ := strings.Cut(strings.TrimPrefix(e.URL(), "http://"), ":")
	settings = append(settings, "PORT", port)

	var want []string
	publish := func() {
		for range 20 {
			want = append(want, r.log.ID(r.log.Publish("a").Seq))
		}
	}
	arrived := func() {
		t.Helper()
		require.Eventually(t, func() bool { return s.all(len(want)) }, natstest.Patience, 10*time.Millisecond)
	}
	publish()
	visit(t, origin+"/?tab=0")
	arrived()
	clients := regexp.MustCompile(`(?m)^sse_connected_clients\{[^}]*\} (\d+)$`)
	require.Eventually(t, func() bool {
		open := 0
		for _, found := range clients.FindAllStringSubmatch(e.Do(http.MethodGet, "/metrics").Body, -1) {
			if found[1] != "0" {
				open += len(found[1])
				if found[1] != "1" {
					return false
				}
			}
		}
		return open == 1
	}, natstest.Patience, 10*time.Millisecond, "one connection")
	for _, reload := range []string{"0", "3"} {
		e.Kill()
		publish()
		e = r.edge(t, settings...)
		publish()
		arrived()
		s.mu.Lock()
		s.reload[reload] = true
		s.mu.Unlock()
		publish()
		arrived()
		require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.reload) == 0 }, natstest.Patience, 10*time.Millisecond)
		publish()
		arrived()
	}
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.tokens > 1 }, natstest.Patience, 10*time.Millisecond)
	publish()
	arrived()
	s.mu.Lock()
	defer s.mu.Unlock()
	for tab, seen := range s.seen {
		assert.Equal(t, want, seen, "tab %s", tab)
	}
}
