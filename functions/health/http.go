package health

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"
)

// staleAfter is the age from which a count of the fleet is stale. Counts once a
// second, with the wait for their answers, stay below it.
const staleAfter = 2 * time.Second

// What /health says of the count of the fleet.
const (
	fleetFresh   = "fresh"
	fleetStale   = "stale"   // age_ms tells how old it is
	fleetUnknown = "unknown" // only this process is counted
)

// Register adds GET and HEAD of /, /health, /livez and /readyz to r.
func (h *Health) Register(r *httprouter.Router) {
	for path, handle := range map[string]httprouter.Handle{
		"/": h.root, "/health": h.health, "/livez": h.livez, "/readyz": h.readyz,
	} {
		r.GET(path, handle)
		r.HEAD(path, handle)
	}
}

type rootBody struct {
	Status    string            `json:"status"`
	Clients   int               `json:"clients"`
	Endpoints map[string]string `json:"endpoints"`
	Version   string            `json:"version,omitempty"`
}

type healthBody struct {
	Status           string            `json:"status"`
	ConnectedClients int               `json:"connected_clients"` // of the fleet
	Producers        map[string]string `json:"producers"`
	Instances        int               `json:"instances"` // this one included
	Fleet            string            `json:"fleet"`
	AgeMS            int64             `json:"age_ms,omitempty"`
	NATS             string            `json:"nats"`
	Stream           streamBody        `json:"stream"`
	Failing          map[string]string `json:"failing,omitempty"`
	Instance         string            `json:"instance,omitempty"`
	Version          string            `json:"version,omitempty"`
}

type streamBody struct {
	Name     string `json:"name"`
	Present  bool   `json:"present"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	Lag      uint64 `json:"lag"`
}

type probeBody struct {
	Status  string            `json:"status"`
	Failing map[string]string `json:"failing,omitempty"`
}

// root says that the server runs, how many clients it has and what it offers; a
// browser gets that as a page.
func (h *Health) root(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	h.fleet.demand.wait(r.Context(), answerWithin)
	clients := h.Clients()
	w.Header().Set("Vary", "Accept")
	if prefersHTML(r.Header.Values("Accept")) {
		h.page(w, clients)
		return
	}
	body := rootBody{
		Status:    "running",
		Clients:   clients,
		Endpoints: map[string]string{"stream": "/stream", "health": "/health", "livez": "/livez", "readyz": "/readyz"},
		Version:   h.cfg.Version,
	}
	if h.cfg.Console {
		body.Endpoints["console"] = "/console"
	}
	if h.cfg.Publish {
		body.Endpoints["publish"] = "/publish"
	}
	h.respond(w, http.StatusOK, body)
}

// health says all that is known; its status code says whether this process can
// serve.
func (h *Health) health(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	h.fleet.demand.wait(r.Context(), answerWithin)
	l, others := h.current(r.Context()), h.fleet.known()
	body := healthBody{
		Status:           "healthy",
		ConnectedClients: l.Clients + others.clients,
		Producers:        h.producers.states(),
		Instances:        1 + others.instances,
		NATS:             "disconnected",
		Stream:           streamBody{Name: l.Stream, Present: l.Present, FirstSeq: l.FirstSeq, LastSeq: l.LastSeq, Lag: l.Lag},
		Failing:          h.failing(l),
		Instance:         h.cfg.Instance,
		Version:          h.cfg.Version,
	}
	body.Producers[heartbeatProducer] = h.heartbeat(l, others)
	body.Fleet, body.AgeMS = others.freshness()
	if l.NATS {
		body.NATS = "connected"
	}
	status := http.StatusOK
	if len(body.Failing) > 0 {
		body.Status, status = "unhealthy", http.StatusServiceUnavailable
	}
	h.respond(w, status, body)
}

// heartbeat is the state of the heartbeat producer. An edge tells of its own
// heartbeats, whatever other edges do; a process that serves no streams tells
// whether any edge sends them.
func (h *Health) heartbeat(l Local, others others) string {
	if l.Heartbeat || h.lookup != nil && others.heartbeat {
		return stateRunning
	}
	return stateMissing
}

// freshness is what /health says of the age of a count; ageMS only where that
// is stale.
func (o others) freshness() (fleet string, ageMS int64) {
	age := time.Since(o.at)
	switch {
	case o.at.IsZero():
		return fleetUnknown, 0
	case age > staleAfter:
		return fleetStale, age.Milliseconds()
	default:
		return fleetFresh, 0
	}
}

// livez is for what restarts a process that hangs: it depends on nothing else.
func (h *Health) livez(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
	h.respond(w, http.StatusOK, probeBody{Status: "alive"})
}

// readyz is for what sends clients to this process.
func (h *Health) readyz(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	if failing := h.failing(h.current(r.Context())); len(failing) > 0 {
		h.respond(w, http.StatusServiceUnavailable, probeBody{Status: "not ready", Failing: failing})
		return
	}
	h.respond(w, http.StatusOK, probeBody{Status: "ready"})
}

// failing is what keeps a process in the state l from serving: the name of each
// check that fails, and why.
func (h *Health) failing(l Local) map[string]string {
	failing := map[string]string{}
	if !l.NATS {
		failing["nats"] = "not connected to NATS"
	}
	if !l.Present {
		failing["stream"] = cmp.Or(l.Problem, fmt.Sprintf("the JetStream stream %s is not there or not read yet", l.Stream))
	}
	if !l.Loaded {
		failing["loaded"] = "the newest events are still being loaded"
	}
	if l.Lag > h.cfg.ReadyLag {
		failing["lag"] = fmt.Sprintf("%d events behind, READY_LAG allows %d", l.Lag, h.cfg.ReadyLag)
	}
	if l.Draining {
		failing["draining"] = "the process is about to end"
	}
	return failing
}

func (h *Health) respond(w http.ResponseWriter, status int, body any) {
	text, err := json.MarshalIndent(body, "", "    ")
	if err != nil { // cannot be: bodies are plain structs
		h.cfg.Logger.Error("encoding an answer", "err", err)
		status, text = http.StatusInternalServerError, []byte(`{"status":"error"}`)
	}
	h.write(w, status, "application/json", append(text, '\n'))
}

func (h *Health) write(w http.ResponseWriter, status int, mediaType string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who asked may be gone
}
