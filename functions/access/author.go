package access

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"sluice/functions/access/limit"
	"sluice/functions/access/rights"
)

// Author is the leave of one request to publish. Its fields do not change.
type Author struct {
	Subject string // who publishes; "" where that is not known
	// Rate is how many events the author may publish, nil for any number. All
	// requests of one subject, or of one address without, share it.
	Rate *rate.Limiter
	// Unasked says that any page may have a browser send such a request, which then
	// is this author's: by the address of this machine, or by a cookie.
	Unasked bool

	gate   *Gate
	rights *rights.Rights
	keys   []string  // under which it can be revoked
	until  time.Time // zero for ever
}

// forwarding are the headers of proxies (RFC 9110, 7.6.3; RFC 7239).
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}

// Author says who asks to publish, or why nobody may. Without Tokens it is whoever
// is on this machine, unless Config.PublishOpen lets everybody.
func (g *Gate) Author(r *http.Request) (*Author, *Refusal) {
	if g.draining.Load() {
		return nil, Away()
	}
	addr := g.cfg.Addresses.Of(r)
	a := &Author{gate: g, rights: rights.All(), Unasked: true}
	switch {
	case g.cfg.Tokens != nil:
		t, may, bad := g.verify(r)
		if bad != nil {
			return nil, bad
		}
		a.Subject, a.rights, a.until, a.keys = t.Subject, may, t.Expires, revocable(t)
		a.Unasked = t.Cookie
	case !g.cfg.PublishOpen && !here(r, addr):
		return nil, Refuse(http.StatusForbidden, PublishClosed,
			"without tokens only programs on this machine may publish: set AUTH=jwt, or PUBLISH_OPEN=true to let everybody")
	}
	a.Rate = g.limits.Publish(limit.Claim{Address: addr, Subject: a.Subject})
	return a, nil
}

// Sender is the leave of a request that has proven who it is in another way than
// by a token, such as a signed webhook.
func (g *Gate) Sender(name string) (*Author, *Refusal) {
	if g.draining.Load() {
		return nil, Away()
	}
	return &Author{Subject: name, gate: g, rights: rights.All(), Rate: g.limits.Publish(limit.Claim{Subject: name})}, nil
}

// here reports whether a request comes from a program on this machine, and not from
// elsewhere through a proxy on it.
func here(r *http.Request, addr netip.Addr) bool {
	passed := func(name string) bool { return r.Header.Get(name) != "" }
	return addr.IsLoopback() && !slices.ContainsFunc(forwarding, passed)
}

// May is nil while the author may publish to the topic.
func (a *Author) May(topic string) *Refusal {
	switch {
	case !a.until.IsZero() && time.Now().After(a.until):
		return unauthorized(TokenExpired, "this token has expired")
	case a.gate.cfg.Revoked != nil && a.gate.cfg.Revoked.Has(a.keys...):
		return unauthorized(TokenRevoked, "this token was revoked")
	case !a.rights.Publish(topic):
		return Refuse(http.StatusForbidden, TopicForbidden, "the token does not allow to publish to the topic "+topic)
	}
	return nil
}

// TooFast is the refusal of more events than the author may publish now.
func TooFast(wait time.Duration) *Refusal {
	r := Refuse(http.StatusTooManyRequests, TooManyEvents, "more events than one client may publish in that time; try again later")
	r.Retry = max(wait, time.Second)
	return r
}
