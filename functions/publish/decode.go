package publish

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	cloudhttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/functions/access"
	"sluice/publisher"
	"sluice/publisher/event"
	pub "sluice/publisher/source"
)

// decode is the events of a body that is not lines, each of which the log takes.
func (h *Handler) decode(r *http.Request, q request, body []byte) (events []publisher.Event, bad *access.Refusal) {
	switch q.form {
	case formCloud, formBatch:
		events, bad = clouds(r, q, body)
	default:
		var e publisher.Event
		e, bad = q.event(bytes.TrimSpace(body))
		events = []publisher.Event{e}
	}
	for i := range events {
		if bad == nil {
			bad = nth(h.check(&events[i]), i, len(events))
		}
	}
	return events, bad
}

// event is the one of a request with its own topic.
func (q *request) event(data []byte) (publisher.Event, *access.Refusal) {
	e := publisher.Event{Topic: q.topic, Type: q.typ, Data: data}
	id, err := q.ids().For(1, e)
	if err != nil {
		return e, refuse(access.BadEvent, err)
	}
	e.MsgID = id
	return e, nil
}

// ids makes the same ids when the request is repeated with its key by the same
// subject, and new ones without.
func (q *request) ids() pub.IDs {
	if q.key == "" {
		return pub.IDs{}
	}
	return pub.IDs{Job: "http/" + url.QueryEscape(q.author.Subject) + "/" + q.key}
}

// nth says of which of n events a refusal is.
func nth(bad *access.Refusal, i, n int) *access.Refusal {
	if bad != nil && n > 1 {
		bad.Message = fmt.Sprintf("event %d of %d: %s", i+1, n, bad.Message)
	}
	return bad
}

// check says why the log would not take an event.
func (h *Handler) check(e *publisher.Event) *access.Refusal {
	err := e.Check(h.cfg.MaxEventBytes)
	if err == nil {
		return nil
	}
	code, status := access.BadEvent, http.StatusBadRequest
	if size, _ := event.Size(e.Data); size > h.cfg.MaxEventBytes {
		code, status = access.TooLarge, http.StatusRequestEntityTooLarge
	}
	return access.Refuse(status, code, err.Error())
}

// clouds is the CloudEvents of a body.
func clouds(r *http.Request, q request, body []byte) ([]publisher.Event, *access.Refusal) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	var all []cloudevent.Event
	var err error
	if q.form == formBatch {
		all, err = cloudhttp.NewEventsFromHTTPRequest(r)
	} else {
		var one *cloudevent.Event
		if one, err = binding.ToEvent(r.Context(), cloudhttp.NewMessage(r.Header, r.Body)); err == nil {
			all = append(all, *one)
		}
	}
	if err != nil {
		return nil, refuse(access.BadBody, fmt.Errorf("no CloudEvents 1.0: %w", err))
	}
	if len(all) == 0 {
		return nil, refuse(access.BadBody, fmt.Errorf("no event"))
	}
	events := make([]publisher.Event, len(all))
	for i := range all {
		var bad *access.Refusal
		if events[i], bad = q.cloud(&all[i]); bad != nil {
			return nil, nth(bad, i, len(all))
		}
	}
	return events, nil
}

// cloud is a CloudEvent as an event: its topic is the request's, else the subject,
// else the type; its source and id make it one that may be repeated.
func (q *request) cloud(c *cloudevent.Event) (e publisher.Event, bad *access.Refusal) {
	if err := c.Validate(); err != nil {
		return e, refuse(access.BadEvent, fmt.Errorf("no CloudEvent 1.0: %w", err))
	}
	var err error
	if e.Topic = q.topic; e.Topic == "" {
		from := c.Subject()
		if from == "" {
			from = c.Type()
		}
		if e.Topic, err = event.TopicOf(from); err != nil {
			return e, refuse(access.BadTopic, fmt.Errorf("%w; name it, as in /publish?topic=order.created", err))
		}
	}
	if e.Type, err = event.TypeOf(c.Type()); err != nil {
		return e, refuse(access.BadType, err)
	}
	media, _, err := mime.ParseMediaType(c.DataContentType())
	if c.DataContentType() != "" && (err != nil || !isJSON(media)) {
		return e, access.Refuse(http.StatusUnsupportedMediaType, access.UnsupportedType, "the data of a CloudEvent must be JSON")
	}
	if e.Data = bytes.TrimSpace(c.Data()); len(e.Data) == 0 {
		e.Data = []byte("null")
	}
	e.MsgID = pub.IDs{Job: "cloudevent/" + url.QueryEscape(q.author.Subject)}.Named(e, url.QueryEscape(c.Source())+" "+c.ID())
	return e, nil
}

// signed publishes a webhook, whose signature says who it is.
func (h *Handler) signed(w http.ResponseWriter, r *http.Request) *access.Refusal {
	body, bad := h.body(w, r)
	if bad != nil {
		return bad
	}
	if err := h.webhook.Verify(body, r.Header); err != nil {
		return access.Refuse(http.StatusUnauthorized, access.SignatureInvalid, "the webhook's signature is not good, or its time is more than five minutes away")
	}
	author, bad := h.cfg.Gate.Sender("webhook")
	if bad != nil {
		return bad
	}
	e := publisher.Event{Topic: h.cfg.WebhookTopic, Data: bytes.TrimSpace(body)}
	e.MsgID = pub.IDs{Job: "webhook"}.Named(e, r.Header.Get(webhooks.HeaderWebhookID))
	if bad := h.check(&e); bad != nil {
		return bad
	}
	return h.store(w, r, author, []publisher.Event{e})
}
