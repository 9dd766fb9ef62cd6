package sse_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

var (
	testID   = event.ID{Epoch: 0x0198f5aa3c1d, Seq: 42}
	testTime = time.Date(2026, 3, 1, 13, 0, 0, 120_000_000, time.FixedZone("CET", 3600))
	encoder  = sse.NewEncoder("EVENTS", 5*time.Second, 64)
)

const testIDText = "0198f5aa-3c1d-8000-8000-00000000002a"

func message(header, data string) *wire.Message {
	return &wire.Message{ID: testID, Topic: "metric.cpu_usage", Header: header, Data: []byte(data), Time: testTime}
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		name, header, data string
		want               string // between the id line and the retry line
		flaw               wire.Flaw
	}{
		{"the seed's block", "", `{"type": "metric", "name": "cpu_usage", "value": 45.2}`,
			"event: data\ndata: {\"type\": \"metric\", \"name\": \"cpu_usage\", \"value\": 45.2}\n", 0},
		{"a type of the publisher's", "order.v1", `1`, "event: order.v1\ndata: 1\n", 0},
		{"the default type named", "data", `1`, "event: data\ndata: 1\n", 0},
		{"a reserved type becomes data", "system", `1`, "event: data\ndata: 1\n", wire.FlawType},
		{"a type that would break the block becomes data", "a\nid: 7", `1`, "event: data\ndata: 1\n", wire.FlawType},
		{"an empty payload still dispatches", "", "", "event: data\ndata: \n", 0},
		{"LF, CR and CRLF end lines", "", "a\nb\rc\r\nd", "event: data\ndata: a\ndata: b\ndata: c\ndata: d\n", 0},
		{"line ends at the end stay", "", "a\n\r\n", "event: data\ndata: a\ndata: \ndata: \n", 0},
		{"LF CR is two line ends", "", "a\n\rb", "event: data\ndata: a\ndata: \ndata: b\n", 0},
		{"a leading space stays", "", " a", "event: data\ndata:  a\n", 0},
		{"fields in the payload stay data", "", "x\n\nevent: system\n:", "event: data\ndata: x\ndata: \ndata: event: system\ndata: :\n", 0},
		{"U+2028, U+0085, NUL and BOM survive", "", "\uFEFF\u2028\u0085\x00", "event: data\ndata: \uFEFF\u2028\u0085\x00\n", 0},
		{"what is not UTF-8 becomes base64", "", "\xff\x00\n", "event: data\ndata: {\"encoding\":\"base64\",\"data\":\"/wAK\"}\n", wire.FlawUTF8},
		{"the largest payload goes", "", strings.Repeat("a", 64), "event: data\ndata: " + strings.Repeat("a", 64) + "\n", 0},
		{"a larger one is told of", "big", strings.Repeat("\xff", 65), "event: big\ndata: {\"encoding\":\"omitted\",\"size\":65}\n", wire.FlawSize},
		{"flaws add up", "error", strings.Repeat("a", 65), "event: data\ndata: {\"encoding\":\"omitted\",\"size\":65}\n", wire.FlawSize | wire.FlawType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, flaw := encoder.Append([]byte("before"), message(tt.header, tt.data))
			assert.Equal(t, "beforeid: "+testIDText+"\n"+tt.want+"retry: 5000\n\n", string(got))
			assert.Equal(t, tt.flaw, flaw)
		})
	}
}

func TestAppendCloudEvent(t *testing.T) {
	const open = `{"specversion":"1.0","id":"` + testIDText + `","source":"/EVENTS","type":"`
	const middle = `","subject":"metric.cpu_usage","time":"2026-03-01T12:00:00.12Z","datacontenttype":"`
	for _, tt := range []struct {
		name, header, data string
		typ, want          string // type, and from the content type on
		flaw               wire.Flaw
	}{
		{"JSON stands as it is", "", `{"a": 1.0e2}`, "data", `application/json","data":{"a": 1.0e2}}`, 0},
		{"JSON on several lines becomes one", "t", "{\r\n\"a\":\n[1,\r2]}\n", "t", `application/json","data":{"a":[1,2]}}`, 0},
		{"other text is a string", "", "say \"a\\b\"\n\r\t\x00\x1f\u2028", "data",
			`text/plain","data":"say \"a\\b\"\n\r\t\u0000\u001f` + "\u2028" + `"}`, 0},
		{"an empty payload is an empty string", "", "", "data", `text/plain","data":""}`, 0},
		{"two values are no JSON text", "", "1\n2", "data", `text/plain","data":"1\n2"}`, 0},
		{"what is not UTF-8 is data_base64", "", "\xff", "data", `application/octet-stream","data_base64":"/w=="}`, wire.FlawUTF8},
		{"a too large payload is told of", "open", strings.Repeat("1", 65), "data",
			`application/json","data":{"encoding":"omitted","size":65}}`, wire.FlawSize | wire.FlawType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, flaw := encoder.AppendCloudEvent(nil, message(tt.header, tt.data))
			want := "id: " + testIDText + "\nevent: " + tt.typ + "\ndata: " + open + tt.typ + middle + tt.want + "\nretry: 5000\n\n"
			assert.Equal(t, want, string(got))
			assert.Equal(t, tt.flaw, flaw)
			assert.True(t, json.Valid([]byte(parseWHATWG(string(got))[0].data)))
		})
	}
}

func TestEncoderDefaults(t *testing.T) {
	e := sse.NewEncoder(`a"/b`, 0, 0)
	got, flaw := e.AppendCloudEvent(nil, message("", strings.Repeat("1", event.DefaultMaxBytes)))
	require.Zero(t, flaw)
	assert.Contains(t, string(got), `"source":"/a%22%2Fb"`)
	assert.Contains(t, string(got), "\nretry: 5000\n\n")

	_, flaw = e.Append(nil, message("", strings.Repeat("1", event.DefaultMaxBytes+1)))
	assert.Equal(t, wire.FlawSize, flaw)
}

// A comment must neither dispatch nor touch the id of a client, wherever it
// stands between blocks.
func TestAppendComment(t *testing.T) {
	b := sse.AppendComment(nil)
	b, _ = encoder.Append(b, message("", "1"))
	b = sse.AppendComment(sse.AppendComment(b))
	b, _ = encoder.Append(b, message("", "2"))
	events := parseWHATWG(string(b))
	require.Len(t, events, 2)
	assert.Equal(t, "2", events[1].data)
	assert.Equal(t, ":\n", string(sse.AppendComment(nil)))
}

func BenchmarkAppend(b *testing.B) {
	m := message("", `{"type":"metric","name":"cpu_usage","value":45.2}`)
	b.ReportAllocs()
	for b.Loop() {
		encoder.Append(nil, m)
	}
}

func BenchmarkAppendCloudEvent(b *testing.B) {
	m := message("", `{"type":"metric","name":"cpu_usage","value":45.2}`)
	b.ReportAllocs()
	for b.Loop() {
		encoder.AppendCloudEvent(nil, m)
	}
}
