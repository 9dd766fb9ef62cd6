package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/cenkalti/backoff/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/functions/access/address"
	"sluice/functions/logging"
)

const (
	// DefaultRefresh is the time between two fetches of the keys.
	DefaultRefresh = 5 * time.Minute
	// DefaultGrace is how long the keys count while they cannot be fetched.
	DefaultGrace = 24 * time.Hour

	// fetchTimeout bounds one fetch.
	fetchTimeout = 5 * time.Second
	// fetchPause is the least time between two fetches for keys that are not known:
	// so often, and no more, can clients make an edge ask.
	fetchPause = 5 * time.Second
	// firstFetch is the pause after the first fetch that fails; they double up to
	// the time between two fetches.
	firstFetch = time.Second
	// maxSetBytes and maxKeys bound a key set.
	maxSetBytes = 1 << 20
	maxKeys     = 100
	// maxRedirects is how often a fetch is sent elsewhere.
	maxRedirects = 3
	// maxKeyID is the longest key id that is looked for, in bytes.
	maxKeyID = 256
	// maxMissing is how many key ids are remembered that were looked for in vain.
	maxMissing = 1024
)

// remote is the keys of a JSON Web Key Set at a URL.
type remote struct {
	url            string
	client         *http.Client
	refresh, grace time.Duration
	logger         *slog.Logger
	fetches        *prometheus.CounterVec

	seldom logging.Seldom

	asked   chan struct{} // of run: a fetch is wanted now
	current atomic.Pointer[keySet]
	missing *lru.Cache[string, time.Time] // key ids that were looked for in vain, and when

	mu     sync.Mutex
	now    *fetch    // under way; nil for none
	next   *fetch    // the one after it
	wanted bool      // somebody waits for next
	last   time.Time // when that was asked for last
}

// keySet is the keys as they were fetched.
type keySet struct {
	keys    []key
	fetched time.Time
}

func newRemote(cfg Config) (*remote, error) {
	if err := CheckURL(cfg.JWKSURL); err != nil {
		return nil, err
	}
	missing, err := lru.New[string, time.Time](maxMissing)
	if err != nil {
		return nil, err
	}
	k := &remote{
		missing: missing,
		asked:   make(chan struct{}, 1), next: &fetch{done: make(chan struct{})},
		url: cfg.JWKSURL, refresh: cfg.Refresh, grace: cfg.Grace, logger: cfg.Logger,
		client: &http.Client{Timeout: fetchTimeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("redirected too often")
			}
			return CheckURL(r.URL.String())
		}},
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_jwks_fetches_total", Help: "Fetches of JWKS_URL, by their result.",
		}, []string{"result"}),
	}
	for _, result := range []string{"ok", "failed"} {
		k.fetches.WithLabelValues(result)
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(k.fetches)
	}
	return k, nil
}

// CheckURL reports what is wrong with the URL of a key set: whoever can change it
// on its way can sign tokens.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("it is no URL")
	}
	if u.Scheme == "https" || u.Scheme == "http" && address.Loopback(u.Hostname()) {
		return nil
	}
	return errors.New("the keys must come by https, or by http from this machine")
}

// run fetches the keys until ctx ends: it alone does.
func (k *remote) run(ctx context.Context) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = firstFetch, k.refresh, 2
	for ctx.Err() == nil {
		pause := k.refresh
		if k.fetch(ctx) {
			wait.Reset()
		} else {
			pause = wait.NextBackOff()
		}
		select {
		case <-time.After(pause):
		case <-k.asked:
		case <-ctx.Done():
		}
	}
}

// find gives the keys with that id. One that is not known is looked for, in one
// fetch for all who wait and not more often than every fetchPause. In between it
// may be known soon: that is ErrKeys, and the client is to come back.
func (k *remote) find(ctx context.Context, kid string) ([]key, error) {
	if len(kid) > maxKeyID {
		return nil, errUnknown
	}
	if found, ok := k.known(kid); ok {
		return found, nil
	}
	came := time.Now()
	if at, ok := k.missing.Get(kid); ok && came.Sub(at) < fetchPause {
		return nil, errUnknown
	}
	f := k.ask(came)
	if f == nil {
		return nil, ErrKeys
	}
	timeout := time.NewTimer(2 * fetchTimeout)
	defer timeout.Stop()
	select {
	case <-f.done:
	case <-timeout.C: // nobody runs the keys any more
		return nil, ErrKeys
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
	}
	found, ok := k.known(kid)
	switch {
	case ok:
		return found, nil
	case f.ok && !f.began.Before(came):
		k.missing.Add(kid, time.Now())
		return nil, errUnknown
	}
	return nil, ErrKeys
}

var errUnknown = fmt.Errorf("%w: its key is not known", ErrInvalid)

// fetch is one fetch, for all who wait for it.
type fetch struct {
	done  chan struct{} // closed when it is over; ok counts then
	began time.Time     // zero before it has begun
	ok    bool
}

// ask is the fetch to wait for: the one under way, or the next one, which it has
// begun soon. Nil when one was asked for a moment ago and is over.
func (k *remote) ask(now time.Time) *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now != nil {
		return k.now
	}
	if k.wanted {
		return k.next
	}
	if now.Sub(k.last) < fetchPause {
		return nil
	}
	k.last, k.wanted = now, true
	select {
	case k.asked <- struct{}{}:
	default: // it is asked for already
	}
	return k.next
}

// fetch fetches the keys and reports whether there are new ones.
func (k *remote) fetch(ctx context.Context) bool {
	k.mu.Lock()
	f := k.next
	f.began = time.Now()
	k.now, k.next, k.wanted = f, &fetch{done: make(chan struct{})}, false
	k.mu.Unlock()
	keys, err := k.get(ctx)
	result := "ok"
	if err == nil {
		k.current.Store(&keySet{keys, time.Now()})
	} else {
		result = "failed"
		if n, turn := k.seldom.Turn("jwks"); turn && ctx.Err() == nil {
			k.logger.Warn("the keys at JWKS_URL cannot be fetched; those that are known count on", "failed", n, "grace", k.grace, "err", err)
		}
	}
	k.fetches.WithLabelValues(result).Inc()
	k.mu.Lock()
	f.ok = err == nil
	k.now = nil
	k.mu.Unlock()
	close(f.done)
	return f.ok
}

// get fetches the URL and reads the set.
func (k *remote) get(ctx context.Context) ([]key, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxSetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSetBytes {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxSetBytes)
	}
	return readSet(text)
}

// readSet reads a key set. Keys of a kind that is not known are passed over
// (RFC 7517, 5), and so are those that are not for signatures, too weak, secret or
// not readable: one bad key does not take the others with it.
func readSet(text []byte) ([]key, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("the answer is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", len(set.Keys), maxKeys)
	}
	var all []key
	for _, raw := range set.Keys {
		jwk, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		m := jwk.Marshal()
		if m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
			continue
		}
		if k, err := publicKey(m.KID, jwk.Key(), m.ALG.String()); err == nil {
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no key to check signatures with in the set")
	}
	return all, nil
}

// known is the keys with that id, or all for a token without one, as long as they
// count.
func (k *remote) known(kid string) ([]key, bool) {
	set := k.current.Load()
	if set == nil || time.Since(set.fetched) > k.refresh+k.grace {
		return nil, false
	}
	if kid == "" {
		return set.keys, true
	}
	var found []key
	for _, k := range set.keys {
		if k.id == kid {
			found = append(found, k)
		}
	}
	return found, len(found) > 0
}
