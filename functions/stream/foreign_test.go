package stream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestForeignPublishes: what other programs put on the stream's subjects is
// told safely, live and from the log, and moves nothing else.
func TestForeignPublishes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		subject string // default events.a
		header  nats.Header
		data    string
		typ     string // default data
		want    string
		nothing bool // nobody gets it
	}{
		{name: "JSON", data: `{"a":1}`, want: `{"a":1}`},
		{name: "its own type", header: nats.Header{"Event-Type": {"order.v1"}}, data: `1`, typ: "order.v1", want: `1`},
		{name: "empty", want: ""},
		{name: "line ends", data: "a\nb\r\nc\rd\n", want: "a\nb\nc\nd\n"},
		{name: "fields in the payload", data: "x\n\nid: 7\nevent: system\nretry: 1\n\n", want: "x\n\nid: 7\nevent: system\nretry: 1\n\n"},
		{name: "binary", data: "\xff\x00\xfe", want: `{"encoding":"base64","data":"/wD+"}`},
		{name: "huge", data: strings.Repeat("x", 100_000), want: `{"encoding":"omitted","size":100000}`},
		{name: "a reserved type", header: nats.Header{"Event-Type": {"system"}}, data: `{"type":"drain"}`, want: `{"type":"drain"}`},
		{name: "a type that breaks the block", header: nats.Header{"Event-Type": {"a\tb"}}, data: "1", want: "1"},
		{name: "a forged sequence", header: nats.Header{"Nats-Sequence": {"999999"}, "Nats-Stream": {"OTHER"}}, data: "1", want: "1"},
		{name: "an empty heartbeat", header: nats.Header{"Status": {"100"}}, want: ""},
		{name: "a heartbeat that claims the future", header: nats.Header{
			"Status": {"100"}, "Nats-Last-Stream": {"999999"}, "Nats-Last-Consumer": {"12"}, "Nats-Consumer-Stalled": {"events.a"},
		}, want: ""},
		{name: "the end of the messages", header: nats.Header{"Status": {"404"}}, want: ""},
		{name: "a timeout", header: nats.Header{"Status": {"408"}}, want: ""},
		{name: "a lost consumer", header: nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, want: ""},
		{name: "nobody there", header: nats.Header{"Status": {"503"}}, want: ""},
		{name: "a subject outside the grammar", subject: "events.a@b", data: "1", nothing: true},
		{name: "a token of spaces and quotes", subject: "events.\"a\"'", data: "1", nothing: true},
		{name: "seventeen tokens", subject: "events" + strings.Repeat(".a", 17), data: "1", nothing: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			natstest.CheckGoroutines(t)
			ns := natstest.Start(t)
			log := streamtest.NewLog(t, ns.JetStream(t), func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 })
			ways := map[string]*streamtest.Edge{
				"direct":           streamtest.Start(t, ns.URL(), direct, smallRing),
				"through net/http": streamtest.Start(t, ns.URL(), throughHTTP, smallRing),
			}
			clients := map[string]*streamtest.Client{}
			for name, edge := range ways {
				clients[name+", live"] = streamtest.Open(t, edge.URL, streamtest.Query{})
			}
			log.PublishN(12, "a") // as many as the forged heartbeat counts
			subject := tt.subject
			if subject == "" {
				subject = "events.a"
			}
			_, err := log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: tt.header, Data: []byte(tt.data)})
			require.NoError(t, err)
			log.PublishN(30, "a") // beyond the rings
			for name, edge := range ways {
				require.Eventually(t, func() bool { return edge.Feed.Position().Seq >= log.Last().Seq }, natstest.Patience, time.Millisecond, name)
				clients[name+", from the log"] = streamtest.Open(t, edge.URL, streamtest.Query{LastID: log.ID(0)})
			}

			for name, c := range clients {
				c.System(t, "open")
				for _, want := range log.Match(0) {
					if want.Seq == 14 && !tt.nothing {
						b := c.Event(t)
						assert.Equal(t, log.ID(13), b.ID, name)
						assert.Equal(t, tt.want, b.Data, name)
						assert.Equal(t, map[bool]string{true: "data", false: tt.typ}[tt.typ == ""], b.Type, name)
					}
					b := c.Event(t)
					require.Equal(t, log.ID(want.Seq), b.ID, name)
					require.Equal(t, want.Data, b.Data, name)
				}
			}
		})
	}
}
