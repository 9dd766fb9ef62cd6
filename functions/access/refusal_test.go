package access_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/functions/access"
)

func TestARefusalIsAStatusAndJSON(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refusal *access.Refusal
		status  int
		retry   string // Retry-After
		body    string
	}{
		{"for good", access.Refuse(404, access.TopicNotServed, "only a"), 404, "", `{"error":"topic_not_served","message":"only a"}`},
		{"that passes", access.Later(access.TooManyConnections, "busy", 7*time.Second), 503, "7", `{"error":"too_many_connections","message":"busy"}`},
		{"that passes within a second", access.Later(access.Draining, "away", time.Millisecond), 503, "1", `{"error":"draining","message":"away"}`},
		{"that passes within a part of a second", access.Later(access.Draining, "away", 1900*time.Millisecond), 503, "1", `{"error":"draining","message":"away"}`},
		{"whose cause is for the log", access.NoLog(errors.New("secret")), 503, "5",
			`{"error":"log_unavailable","message":"the event log cannot be read now; try again later"}`},
		{"of an instance that starts", access.NotStarted(), 503, "5",
			`{"error":"starting","message":"this instance has not read the event log yet; try again later"}`},
		{"with a client's words", access.Refuse(400, access.BadTopic, "not \"a\n\x00\xff</script>\""), 400, "",
			`{"error":"bad_topic","message":"not \"a\n\u0000` + "\\ufffd" + `\u003c/script\u003e\""}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			tt.refusal.Write(w)
			want := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
			if tt.retry != "" {
				want["Retry-After"] = []string{tt.retry}
			}
			assert.Equal(t, want, w.Header())
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.body+"\n", w.Body.String())
			assert.Equal(t, tt.body, string(tt.refusal.Body()))
		})
	}
}
