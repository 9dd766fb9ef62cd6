package publish

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/functions/access"
	"sluice/functions/logging"
)

// Config is what a Handler needs; all fields but the last four must be set.
type Config struct {
	Sink          *Sink
	Gate          *access.Gate
	MaxEventBytes int           // of a payload
	MaxBodyBytes  int           // of a request, but of lines
	Timeout       time.Duration // for which a request waits for its place among the events on the way
	StallTimeout  time.Duration // for which a client may take no result lines

	// Origins are those whose pages may publish without a token in a header.
	Origins []string
	// WebhookSecret signs the webhooks that are published to WebhookTopic, as the
	// specification Standard Webhooks says; empty for none.
	WebhookSecret, WebhookTopic string

	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Handler serves POST /publish. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	origins  *http.CrossOriginProtection
	webhook  *webhooks.Webhook // nil without a secret
	draining chan struct{}
	drain    sync.Once
	requests *prometheus.CounterVec
	events   *prometheus.CounterVec
	seldom   logging.Seldom
}

// What a metric calls an answer that is no refusal, and the results of events.
const (
	codeOK          = "ok"
	resultPublished = "published"
	resultDuplicate = "duplicate"
	resultFailed    = "failed"
)

// New makes a handler. The error is of the webhook's secret.
func New(cfg Config) (*Handler, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	h := &Handler{
		cfg: cfg, origins: http.NewCrossOriginProtection(), draining: make(chan struct{}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "publish_requests_total", Help: "Requests to publish, by ok or why they were refused.",
		}, []string{"code"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "publish_events_total", Help: "Events that came over HTTP, by what became of them.",
		}, []string{"result"}),
	}
	for _, origin := range cfg.Origins {
		_ = h.origins.AddTrustedOrigin(origin) // * and null are none
	}
	if cfg.WebhookSecret != "" {
		var err error
		if h.webhook, err = NewWebhook(cfg.WebhookSecret); err != nil {
			return nil, err
		}
	}
	h.requests.WithLabelValues(codeOK)
	for _, code := range access.PublishCodes {
		h.requests.WithLabelValues(string(code))
	}
	for _, result := range []string{resultPublished, resultDuplicate, resultFailed} {
		h.events.WithLabelValues(result)
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(h.requests, h.events)
	}
	return h, nil
}

// minSecretBytes is what Standard Webhooks wants of a secret at least.
const minSecretBytes = 24

// NewWebhook checks the secret of signed webhooks. No error repeats it.
func NewWebhook(secret string) (*webhooks.Webhook, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < minSecretBytes {
		return nil, fmt.Errorf("want a secret as in Standard Webhooks: whsec_ and %d bytes or more in base64", minSecretBytes)
	}
	return webhooks.NewWebhookRaw(key)
}

// Drain has every later request told to come back, and ends those that publish lines,
// after the lines that have come, each with a last line that says so.
func (h *Handler) Drain() {
	h.cfg.Gate.Drain()
	h.drain.Do(func() { close(h.draining) })
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if bad := h.serve(w, r); bad != nil {
		h.note(bad, r)
		bad.Write(w)
	}
}

// serve returns a refusal before it has answered.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) *access.Refusal {
	if r.Header.Get(webhooks.HeaderWebhookSignature) != "" && h.webhook != nil {
		return h.signed(w, r)
	}
	author, bad := h.cfg.Gate.Author(r)
	if bad != nil {
		return bad
	}
	if author.Unasked && h.origins.Check(r) != nil {
		return access.Refuse(http.StatusForbidden, access.CrossSite, "pages of another origin may not publish here: name it in CORS_ORIGINS")
	}
	q, bad := parse(r)
	if bad != nil {
		return bad
	}
	q.author = author
	if q.form == formLines {
		return h.lines(w, r, q)
	}
	body, bad := h.body(w, r)
	if bad != nil {
		return bad
	}
	events, bad := h.decode(r, q, body)
	if bad != nil {
		return bad
	}
	return h.store(w, r, author, events)
}

// note counts a refusal, and logs it at most once a second per code.
func (h *Handler) note(why *access.Refusal, r *http.Request) {
	h.requests.WithLabelValues(string(why.Code)).Inc()
	if refused, ok := h.seldom.Turn(string(why.Code)); ok {
		h.cfg.Logger.Warn("publishing is refused", "code", why.Code, "refused", refused, "message", why.Message, "remote", r.RemoteAddr)
	}
}
