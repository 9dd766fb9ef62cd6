package sse_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gosse "github.com/tmaxmax/go-sse"
	"pgregory.net/rapid"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

const roundTripMax = 1 << 10 // MaxEventBytes of the round trips

var roundTrip = sse.NewEncoder("EVENTS", 5*time.Second, roundTripMax)

// checkRoundTrip encodes a message between two others and wants both parsers to
// give exactly three events, the middle one with what was sent. It returns what
// is wrong, "" for nothing.
func checkRoundTrip(header string, data []byte) string {
	m := &wire.Message{ID: testID, Topic: "log.error", Header: header, Data: data, Time: testTime}
	edge := &wire.Message{ID: event.ID{Epoch: 1, Seq: 1}, Topic: "x", Data: []byte("edge"), Time: testTime}
	typ, wantFlaw := "data", wire.Flaw(0)
	if event.CheckType(header) == nil {
		typ = header
	} else if header != "" {
		wantFlaw = wire.FlawType
	}
	want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	size, _ := event.Size(data)
	switch {
	case size > roundTripMax:
		want = fmt.Sprintf(`{"encoding":"omitted","size":%d}`, len(data))
		wantFlaw |= wire.FlawSize
	case !utf8.Valid(data):
		want = `{"encoding":"base64","data":"` + base64.StdEncoding.EncodeToString(data) + `"}`
		wantFlaw |= wire.FlawUTF8
	}

	stream, _ := roundTrip.Append(nil, edge)
	stream, flaw := roundTrip.Append(stream, m)
	stream, _ = roundTrip.Append(sse.AppendComment(stream), edge)
	if flaw != wantFlaw {
		return fmt.Sprintf("flaw %b, want %b", flaw, wantFlaw)
	}
	if wrong := checkParsers(string(stream), typ, want); wrong != "" {
		return wrong
	}

	stream, _ = roundTrip.Append(nil, edge)
	stream, ceFlaw := roundTrip.AppendCloudEvent(stream, m)
	stream, _ = roundTrip.Append(stream, edge)
	if wantFlaw&(wire.FlawSize|wire.FlawUTF8) == 0 && !json.Valid(data) && len(quoted(data)) > roundTripMax {
		wantFlaw |= wire.FlawSize
	}
	if ceFlaw != wantFlaw {
		return fmt.Sprintf("CloudEvents: flaw %b, want %b", ceFlaw, wantFlaw)
	}
	events := parseWHATWG(string(stream))
	if len(events) != 3 || events[1].id != testIDText || events[1].typ != typ {
		return fmt.Sprintf("CloudEvents: %q parsed as %q", stream, events)
	}
	return checkEnvelope(events[1].data, typ, data, ceFlaw)
}

func checkParsers(stream, typ, want string) string {
	events := parseWHATWG(stream)
	if len(events) != 3 || events[1] != (dispatched{testIDText, typ, want, "5000"}) || events[2].data != "edge" {
		return fmt.Sprintf("%q parsed by the rules as %q", stream, events)
	}
	n := 0
	for ev, err := range gosse.Read(strings.NewReader(stream), &gosse.ReadConfig{MaxEventSize: 1 << 20}) {
		if err != nil {
			return fmt.Sprintf("%q: go-sse: %v", stream, err)
		}
		if n == 1 && (ev != gosse.Event{LastEventID: testIDText, Type: typ, Data: want}) {
			return fmt.Sprintf("%q parsed by go-sse as %q", stream, ev)
		}
		n++
	}
	if n != 3 {
		return fmt.Sprintf("%q: go-sse found %d events", stream, n)
	}
	return ""
}

// checkEnvelope wants the payload back out of a CloudEvents envelope.
func checkEnvelope(text, typ string, payload []byte, flaw wire.Flaw) string {
	var envelope struct {
		SpecVersion, ID, Source, Type, Subject, DataContentType string
		Time                                                    time.Time
		Data                                                    json.RawMessage
		Bytes                                                   []byte `json:"data_base64"`
	}
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		return fmt.Sprintf("%q: %v", text, err)
	}
	if envelope.SpecVersion != "1.0" || envelope.ID != testIDText || envelope.Source != "/EVENTS" ||
		envelope.Type != typ || envelope.Subject != "log.error" || !envelope.Time.Equal(testTime) {
		return fmt.Sprintf("envelope %q", text)
	}
	var ok bool
	switch envelope.DataContentType {
	case "application/octet-stream":
		ok = string(envelope.Bytes) == string(payload)
	case "text/plain":
		var s string
		ok = json.Unmarshal(envelope.Data, &s) == nil && s == string(payload) && !json.Valid(payload)
	case "application/json":
		ok = flaw&wire.FlawSize != 0 || json.Valid(payload) &&
			string(envelope.Data) == strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(string(payload)))
	}
	if !ok {
		return fmt.Sprintf("%q came out as %s %s %q", payload, envelope.DataContentType, envelope.Data, envelope.Bytes)
	}
	return ""
}

// quoted is text as a JSON string, with no more escapes than it must have.
func quoted(text []byte) []byte {
	b := []byte{'"'}
	for _, c := range text {
		switch {
		case strings.IndexByte("\"\\\n\r\t", c) >= 0:
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, `\u00xx`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// FuzzRoundTrip: whatever is published is exactly one equal event for a client.
func FuzzRoundTrip(f *testing.F) {
	for _, data := range []string{"", `{"a":1}`, "a\r\n\rb\n", "\n\nid: 1\n\n", "\xff", "\uFEFF\u2028\x00", "{\"a\":\r\n1}", ": x", "1\n2"} {
		f.Add("order.v1", []byte(data))
		f.Add("a\nb", []byte(data))
	}
	f.Add("", []byte(strings.Repeat("\n", roundTripMax+1)))
	f.Add("", []byte(strings.Repeat("\n", roundTripMax/7)))
	f.Add("", []byte(strings.Repeat("\n", roundTripMax/7+1)))
	f.Add("", []byte(strings.Repeat("\xff", roundTripMax/4*3)))
	f.Add("", []byte(strings.Repeat("\xff", roundTripMax/4*3+1)))
	f.Add("", []byte(strings.Repeat("\x01", roundTripMax/6)))
	f.Add("", []byte(strings.Repeat("\x01", roundTripMax/6+1)))
	f.Add("", []byte(strings.Repeat("\"", roundTripMax/2-1)))
	f.Fuzz(func(t *testing.T, header string, data []byte) {
		if wrong := checkRoundTrip(header, data); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

func TestRoundTripProperty(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\n", "\r", "\r\n", ":", " ", "data: ", "id: 7", "event: system", "retry: 1", "\x00",
			"\uFEFF", "\u2028", "\xff", `"`, `\`, `{"a":1}`, "[1,\n2]"}),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 600), func(b []byte) string { return string(b) }),
	)
	header := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[A-Za-z0-9_.-]{1,64}`), piece)
	rapid.Check(t, func(t *rapid.T) {
		data := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "data"), "")
		if wrong := checkRoundTrip(header.Draw(t, "header"), []byte(data)); wrong != "" {
			t.Fatal(wrong)
		}
	})
}
