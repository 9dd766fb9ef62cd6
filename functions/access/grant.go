package access

import (
	"net/netip"
	"sync"
	"time"

	"sluice/functions/access/limit"
	"sluice/functions/access/revoked"
	"sluice/functions/access/token"
	"sluice/functions/topics"
)

// Loss is why a grant ends before its stream.
type Loss string

// The losses.
const (
	Expired Loss = "token_expired" // its token ran out
	Revoked Loss = "revoked"       // its subject or token was revoked
)

// Grant is the leave to serve one stream. Its fields do not change.
type Grant struct {
	Subject string        // whose stream it is; "" where that is not known
	Address netip.Addr    // the client's
	Topics  *topics.Set   // of what was asked for, what it may have
	Replay  *limit.Budget // how much of the log it may have read
	gate    *Gate
	keys    []string  // under which it can be revoked
	until   time.Time // zero for ever
	release func()    // of its limits

	mu    sync.Mutex
	over  bool // released
	loss  Loss
	tell  func(Loss)
	timer *time.Timer
}

// Watch has tell called once if the grant is lost before its Release, at once if
// it is lost already. tell must not block.
func (gr *Grant) Watch(tell func(Loss)) {
	gr.mu.Lock()
	gr.tell = tell
	loss := gr.loss
	if loss == "" && !gr.over && !gr.until.IsZero() {
		gr.timer = time.AfterFunc(time.Until(gr.until), func() { gr.lose(Expired) })
	}
	gr.mu.Unlock()
	if loss != "" {
		tell(loss)
	}
}

// lose tells of a loss. Only the first one counts.
func (gr *Grant) lose(why Loss) {
	gr.mu.Lock()
	tell := gr.tell
	if gr.over || gr.loss != "" {
		tell = nil
	} else {
		gr.loss = why
	}
	gr.mu.Unlock()
	if tell != nil {
		tell(why)
	}
}

// Release gives back what the stream has taken. It is called when the stream
// ends; only the first call counts.
func (gr *Grant) Release() {
	gr.mu.Lock()
	over := gr.over
	gr.over = true
	if gr.timer != nil {
		gr.timer.Stop()
	}
	gr.mu.Unlock()
	if over {
		return
	}
	gr.gate.holders.remove(gr)
	gr.release()
	gr.gate.open.Add(-1)
}

// revocable are the keys under which the token can be revoked.
func revocable(t *token.Token) (keys []string) {
	if t.Subject != "" {
		keys = append(keys, revoked.SubjectKey(t.Subject))
	}
	if t.ID != "" {
		keys = append(keys, revoked.TokenKey(t.ID))
	}
	return keys
}

// holders are the grants by the keys under which they can be revoked.
type holders struct {
	mu    sync.Mutex
	byKey map[string]map[*Grant]struct{}
}

func (h *holders) add(gr *Grant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range gr.keys {
		if h.byKey == nil {
			h.byKey = map[string]map[*Grant]struct{}{}
		}
		if h.byKey[key] == nil {
			h.byKey[key] = map[*Grant]struct{}{}
		}
		h.byKey[key][gr] = struct{}{}
	}
}

func (h *holders) remove(gr *Grant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range gr.keys {
		if delete(h.byKey[key], gr); len(h.byKey[key]) == 0 {
			delete(h.byKey, key)
		}
	}
}

// revoke has all grants of a key be lost.
func (h *holders) revoke(key string) {
	h.mu.Lock()
	var lost []*Grant
	for gr := range h.byKey[key] {
		lost = append(lost, gr)
	}
	h.mu.Unlock()
	for _, gr := range lost {
		gr.lose(Revoked)
	}
}
