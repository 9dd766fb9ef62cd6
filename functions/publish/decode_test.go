package publish_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/publish"
)

func pure(tb testing.TB) *publish.Handler {
	tb.Helper()
	h, err := publish.New(publish.Config{Gate: access.NewGate(access.Config{}), MaxEventBytes: 1000})
	require.NoError(tb, err)
	return h
}

// FuzzDecode: what is decoded of a request the log takes; the rest is refused with a
// code that a metric has.
func FuzzDecode(f *testing.F) {
	f.Add(asJSON, "topic=a", "k", "x", "", []byte(`{"n":1}`))
	f.Add(asCloud, "", "", "", "", []byte(ceOne))
	f.Add(asBatch, "topic=b", "", "", "", []byte("["+ceOne+","+ceTwo+"]"))
	f.Add(asJSON, "", "", "", "1.0", []byte("1"))
	h := pure(f)
	f.Fuzz(func(t *testing.T, media, query, key, typ, spec string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/publish", http.NoBody)
		r.URL.RawQuery = query
		for name, value := range map[string]string{"Content-Type": media, "Idempotency-Key": key, "Event-Type": typ, "Ce-Specversion": spec,
			"Ce-Id": key, "Ce-Source": query, "Ce-Type": typ, "Ce-Subject": key} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		events, bad := h.Decode(r, "s", body)
		if bad != nil {
			assert.Contains(t, access.PublishCodes, bad.Code)
			return
		}
		for i := range events {
			require.NoError(t, events[i].Check(1000))
		}
	})
}

// TestKeysOfOthersAreOtherEvents: neither another subject, nor a subject and a key
// that look alike put together.
func TestKeysOfOthersAreOtherEvents(t *testing.T) {
	h := pure(t)
	seen := map[string]string{}
	for _, who := range [][2]string{{"a", "b/c"}, {"a/b", "c"}, {"", "a/b/c"}, {"a", "b%2Fc"}, {"a:b", "c"}, {"a", "b:c"}} {
		r := httptest.NewRequest(http.MethodPost, "/publish?"+url.Values{"topic": {"t"}}.Encode(), http.NoBody)
		r.Header.Set("Idempotency-Key", who[1])
		events, bad := h.Decode(r, who[0], []byte("1"))
		require.Nil(t, bad)
		id := events[0].MsgID
		require.NotEmpty(t, id)
		assert.Empty(t, seen[id], "%v", who)
		seen[id] = who[0] + " " + who[1]
	}
}
