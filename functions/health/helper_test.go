package health_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/health"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// edge is a running Health that a real HTTP server serves.
type edge struct {
	*health.Health
	url string

	mu    sync.Mutex
	local health.Local
	stop  func() // ends Run and waits for it
}

// set changes what the edge's Local tells.
func (e *edge) set(change func(*health.Local)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.local)
}

// healthy is a process that serves 5 clients and lacks nothing.
func healthy() health.Local {
	return health.Local{
		Clients: 5, Heartbeat: true, Stream: event.DefaultStream, Present: true, Loaded: true,
		FirstSeq: 3, LastSeq: 42, Position: 42,
	}
}

// startEdge runs an edge on a connection of its own. Its Local is healthy,
// with NATS as the connection is.
func startEdge(t *testing.T, nc *nats.Conn, change ...func(*health.Config)) *edge {
	t.Helper()
	e := &edge{local: healthy()}
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	cfg := health.Config{
		Conn: nc, JS: js, Instance: t.Name(), Version: "v1.2.3", Console: true,
		Local: func() health.Local {
			e.mu.Lock()
			defer e.mu.Unlock()
			l := e.local
			l.NATS = nc.IsConnected()
			return l
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	e.Health = health.New(cfg)
	health.Hurry(e.Health)
	router := httprouter.New()
	e.Register(router)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	e.url = server.URL

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			assert.ErrorIs(t, err, context.Canceled)
		case <-time.After(natstest.Patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(e.stop)
	return e
}

// get is a GET; the answer must be quick, complete and never stored.
func (e *edge) get(t *testing.T, path string, header ...string) (status int, body string, res *http.Response) {
	t.Helper()
	return e.ask(t, http.MethodGet, path, header...)
}

func (e *edge) ask(t *testing.T, method, path string, header ...string) (status int, body string, res *http.Response) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	began := time.Now()
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Less(t, time.Since(began), 4*time.Second, "an answer never waits for NATS, which may take 5s")
	assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	return res.StatusCode, string(text), res
}

// state is /health, decoded.
type state struct {
	code             int
	Status           string            `json:"status"`
	ConnectedClients int               `json:"connected_clients"`
	Producers        map[string]string `json:"producers"`
	Instances        int               `json:"instances"`
	Fleet            string            `json:"fleet"`
	AgeMS            int64             `json:"age_ms"`
	NATS             string            `json:"nats"`
	Failing          map[string]string `json:"failing"`
	Stream           struct {
		LastSeq uint64 `json:"last_seq"`
		Lag     uint64 `json:"lag"`
	} `json:"stream"`
}

func (e *edge) health(t *testing.T) (s state) {
	t.Helper()
	code, body, _ := e.get(t, "/health")
	require.NoError(t, json.Unmarshal([]byte(body), &s))
	s.code = code
	return s
}

// eventually waits until /health is as ok says.
func (e *edge) eventually(t *testing.T, what string, ok func(state) bool) (s state) {
	t.Helper()
	eventually(t, what, func() (bool, any) {
		s = e.health(t)
		return ok(s), s
	})
	return s
}

// probe is /readyz, decoded.
type probe struct {
	code    int
	Status  string            `json:"status"`
	Failing map[string]string `json:"failing"`
}

func (e *edge) readyz(t *testing.T) (p probe) {
	t.Helper()
	code, body, _ := e.get(t, "/readyz")
	require.NoError(t, json.Unmarshal([]byte(body), &p))
	p.code = code
	return p
}

// eventually waits in the test's own goroutine until look says yes; what it saw
// last is shown when it never does.
func eventually(t *testing.T, what string, look func() (ok bool, seen any)) {
	t.Helper()
	deadline, tick := time.After(natstest.Patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen := look()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(t, what, "%+v", seen)
		}
	}
}

// receive takes the next value of ch, which must come.
func receive[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(natstest.Patience):
		require.FailNow(t, what)
	}
	return v
}

// record writes a producer's record with a time to live of its own.
func record(t *testing.T, js jetstream.JetStream, r event.Producer, ttl time.Duration) {
	t.Helper()
	data, err := json.Marshal(r)
	require.NoError(t, err)
	m := nats.NewMsg(event.ProducerSubject("", r.Name))
	m.Data = data
	m.Header.Set(event.HeaderTTL, ttl.String())
	_, err = js.PublishMsg(t.Context(), m)
	require.NoError(t, err)
}

func startNATS(t *testing.T) (*natstest.Server, jetstream.JetStream) {
	t.Helper()
	s := natstest.Start(t)
	return s, s.JetStream(t)
}
