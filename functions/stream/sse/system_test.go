package sse_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

func TestHeartbeat(t *testing.T) {
	assert.Equal(t, "id: "+testIDText+"\nevent: heartbeat\ndata: {\"timestamp\":\"2026-03-01T12:00:00Z\",\"clients\":3}\nretry: 5000\n\n",
		string(encoder.AppendHeartbeat(nil, testID, testTime, 3)))
}

func TestSystemBlocks(t *testing.T) {
	first := event.ID{Epoch: testID.Epoch, Seq: 43}
	firstText := strings.Replace(testIDText, "2a", "2b", 1)
	for _, tt := range []struct {
		name  string
		block []byte
		want  sse.System // Message is checked to be there, not its words
		retry string
	}{
		{"open live", encoder.AppendOpen(nil, testID, wire.Open{Resumed: wire.ResumedNone}),
			sse.System{Type: "open", Resumed: "none"}, "5000"},
		{"open resumed", encoder.AppendOpen(nil, testID, wire.Open{Resumed: wire.ResumedComplete}),
			sse.System{Type: "open", Resumed: "complete"}, "5000"},
		{"open of a compacted log", encoder.AppendOpen(nil, testID, wire.Open{Resumed: wire.ResumedComplete, Compacted: true}),
			sse.System{Type: "open", Resumed: "complete", Compacted: true}, "5000"},
		{"open with its gap inside", encoder.AppendOpen(nil, testID, wire.Open{Gap: &wire.Gap{Reason: wire.ReasonExpired, Requested: "old", First: &first}}),
			sse.System{Type: "open", Resumed: "gap", Reason: "expired", Requested: "old", First: firstText}, "5000"},
		{"gap that goes on at an event", encoder.AppendGap(nil, testID, wire.Gap{Reason: wire.ReasonRecreated, First: &first}),
			sse.System{Type: "gap", Reason: "recreated", First: firstText}, "5000"},
		{"gap that goes on live", encoder.AppendGap(nil, testID, wire.Gap{Reason: wire.ReasonAhead, Requested: "x"}),
			sse.System{Type: "gap", Reason: "ahead", Requested: "x"}, "5000"},
		{"gap of an unknown cursor", encoder.AppendGap(nil, testID, wire.Gap{Reason: wire.ReasonUnknown}),
			sse.System{Type: "gap", Reason: "unknown"}, "5000"},
		{"drain at shutdown", encoder.AppendDrain(nil, testID, wire.ReasonShutdown, 1234*time.Millisecond),
			sse.System{Type: "drain", Reason: "shutdown"}, "1234"},
		{"drain at the age limit", encoder.AppendDrain(nil, testID, wire.ReasonMaxAge, 0),
			sse.System{Type: "drain", Reason: "max_age"}, "5000"},
		{"busy", encoder.AppendBusy(nil, testIDText, "low_memory", "later", 30*time.Second), sse.System{Type: "busy", Reason: "low_memory"}, "30000"},
		{"drain before a stream", encoder.AppendAway(nil, testIDText, 2*time.Second), sse.System{Type: "drain", Reason: "shutdown"}, "2000"},
		{"expired", encoder.AppendExpired(nil, testID, wire.ReasonTokenExpired), sse.System{Type: "expired", Reason: "token_expired"}, "5000"},
		{"revoked", encoder.AppendExpired(nil, testID, wire.ReasonRevoked), sse.System{Type: "expired", Reason: "revoked"}, "5000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := parseWHATWG(string(tt.block))
			require.Len(t, events, 1)
			assert.Equal(t, testIDText, events[0].id)
			assert.Equal(t, "system", events[0].typ)
			assert.Equal(t, tt.retry, events[0].retry)

			var got sse.System
			require.NoError(t, json.Unmarshal([]byte(events[0].data), &got))
			assert.NotEmpty(t, got.Message)
			got.Message = ""
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestSystemBlockBytes(t *testing.T) {
	assert.Equal(t, "id: "+testIDText+"\nevent: system\n"+
		`data: {"type":"open","message":"connected; the events follow","resumed":"none"}`+"\nretry: 5000\n\n",
		string(encoder.AppendOpen(nil, testID, wire.Open{Resumed: wire.ResumedNone})))
	assert.Equal(t, "event: system\n"+
		`data: {"type":"busy","message":"later","reason":"low_memory"}`+"\nretry: 6000\n\n",
		string(encoder.AppendBusy(nil, "", "low_memory", "later", 6*time.Second)), "without a cursor there is no id line")
}

// TestAForeignCursorStaysOne: an id of ours in its place would have the client go
// on as if nothing had been missed.
func TestAForeignCursorStaysOne(t *testing.T) {
	for name, tt := range map[string]struct{ cursor, id string }{
		"a number":        {"42", "42"},
		"a leading space": {" 42", " 42"},
		"line ends":       {"a\n\nevent: data\rid: 1\x00", "a??event: data?id: 1?"},
		"not UTF-8":       {"a\xff", "a?"},
		"long":            {strings.Repeat("x", 1000), strings.Repeat("x", sse.MaxRequestedBytes)},
	} {
		for _, block := range [][]byte{
			encoder.AppendBusy(nil, tt.cursor, "starting", "later", 0), encoder.AppendAway(nil, tt.cursor, 0),
		} {
			events := parseWHATWG(string(block))
			require.Len(t, events, 1, name)
			assert.Equal(t, tt.id, events[0].id, name)
			assert.Equal(t, "system", events[0].typ, name)
		}
	}
}

func TestRequestedIsMadeSafe(t *testing.T) {
	for name, requested := range map[string]string{
		"long":              strings.Repeat("é", 1000),
		"not UTF-8":         "a\xff\xfe",
		"lines":             "a\n\nevent: data\rid: 1",
		"HTML":              "</script><b>&",
		"cut inside U+20AC": strings.Repeat("a", 127) + "€",
	} {
		block := encoder.AppendGap(nil, testID, wire.Gap{Reason: wire.ReasonUnknown, Requested: requested})
		events := parseWHATWG(string(block))
		require.Len(t, events, 1, name)
		assert.NotContains(t, events[0].data, "<", name)
		var got sse.System
		require.NoError(t, json.Unmarshal([]byte(events[0].data), &got), name)
		assert.LessOrEqual(t, len(got.Requested), sse.MaxRequestedBytes, name)
		assert.NotEmpty(t, got.Requested, name)
		assert.True(t, utf8.Valid(block), name)
	}
}
