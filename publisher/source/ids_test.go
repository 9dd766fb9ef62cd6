package source_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/publisher"
	"sluice/publisher/source"
)

func TestIDsAreTheSameInEveryRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		ids  source.IDs
		data string
		want string
	}{
		{"none: the publisher makes one", source.IDs{}, `{"id":1}`, ""},
		{"of a job", source.IDs{Job: "nightly"}, `{"id":1}`, "a.b:data:job:nightly:n:7:037c9214eef74cc3887f3a4f085b4e17"},
		{"a string field", source.IDs{Field: "id"}, `{"id":"order-1"}`, "a.b:data:id:order-1"},
		{"a number field, as written", source.IDs{Field: "id"}, `{"id":1.50}`, "a.b:data:id:1.50"},
		{"a large number field", source.IDs{Field: "id"}, `{"id":12345678901234567890}`, "a.b:data:id:12345678901234567890"},
		{"a nested field", source.IDs{Field: "order.id"}, `{"id":1,"order":{"id":"a b"}}`, "a.b:data:id:a b"},
		{"a field of a job", source.IDs{Job: "at 10:30", Field: "id"}, `{"id":"x:y"}`, "a.b:data:job:at 10%3A30:id:x:y"},
		{"a field named like another but for its case", source.IDs{Field: "ID"}, `{"id":1,"ID":2}`, "a.b:data:id:2"},
		{"an escaped string", source.IDs{Field: "id"}, `{"id":"\u00e4"}`, "a.b:data:id:ä"},
		{"too long to be read", source.IDs{Field: "id"}, `{"id":"` + strings.Repeat("x", 256) + `"}`,
			"sha256:9960284209a2078fbb14fd5e966fbe35cecff36dfa9e877bdec5110fed9b0566"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ids.For(7, publisher.Event{Topic: "a.b", Data: []byte(tt.data)})
			assert.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestIDsRefuseDataWithoutTheField(t *testing.T) {
	for _, tt := range []struct{ name, field, data string }{
		{"missing", "id", `{"a":1}`},
		{"null", "id", `{"id":null}`},
		{"empty", "id", `{"id":""}`},
		{"an object", "id", `{"id":{}}`},
		{"a boolean", "id", `{"id":true}`},
		{"inside a value that has no members", "id.x", `{"id":1}`},
		{"data that is no object", "id", `[1]`},
		{"data that is null", "id", `null`},
		{"with a control character", "id", `{"id":"a\nb"}`},
		{"too long", "id", `{"id":"` + strings.Repeat("x", 257) + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := source.IDs{Field: tt.field}.For(1, publisher.Event{Topic: "a", Data: []byte(tt.data)})
			assert.ErrorIs(t, err, publisher.ErrInvalid)
		})
	}
}

func TestIDsCheckTheirSettings(t *testing.T) {
	assert.NoError(t, source.IDs{}.Check())
	assert.NoError(t, source.IDs{Job: "nightly", Field: "a.b"}.Check())
	assert.Error(t, source.IDs{Job: "a\nb"}.Check())
	assert.Error(t, source.IDs{Job: " a"}.Check())
	assert.Error(t, source.IDs{Job: strings.Repeat("x", 257)}.Check(), "longer than an id")
	assert.Error(t, source.IDs{Field: "a..b"}.Check())
	assert.Error(t, source.IDs{Field: "."}.Check())
}

// TestNoTwoEventsShareAnID holds names that look like the joints of an id, and
// such as make it too long.
func TestNoTwoEventsShareAnID(t *testing.T) {
	type named struct {
		n                           uint64
		job, topic, kind, id, other string
	}
	long := strings.Repeat("x", 200)
	names := []string{"1", "id", "n", "a:id:1", "1:id:a", "a%3Aid%3A1", "a%", long, long + ":id:1"}
	topics := []string{"a", "id", "job", "a.b", "sha256", strings.Join([]string{long[:64], long[:64], long[:64], long[:64]}, ".")}
	seen := map[string]named{}
	check := func(t *testing.T, ids source.IDs, of named) {
		t.Helper()
		e := publisher.Event{Topic: of.topic, Type: of.kind, Data: fmt.Appendf(nil, `{"id":%q,"other":%q}`, of.id, of.other)}
		id, err := ids.For(of.n, e)
		require.NoError(t, err)
		require.NoError(t, publisher.CheckMsgID(id))
		again, err := ids.For(of.n, e)
		require.NoError(t, err)
		require.Equal(t, id, again)
		if ids.Field != "" {
			of.n, of.other = 0, "" // the field alone names the event
		}
		if first, ok := seen[id]; ok {
			require.Equal(t, first, of)
		}
		seen[id] = of
	}
	wantFields, wantPlaces := 0, 0
	for _, job := range append(names, "") {
		for _, topic := range topics {
			for _, kind := range []string{"data", "id", "job"} {
				for _, id := range names {
					wantFields++
					for n := range uint64(3) {
						for _, other := range []string{"", "1"} {
							of := named{n, job, topic, kind, id, other}
							check(t, source.IDs{Job: job, Field: "id"}, of)
							if job != "" {
								wantPlaces++
								of.job += " by place"
								check(t, source.IDs{Job: job}, of)
							}
						}
					}
				}
			}
		}
	}
	assert.Len(t, seen, wantFields+wantPlaces)
}

func FuzzIDs(f *testing.F) {
	f.Add(`{"id":"a"}`, "id")
	f.Add(`{"a":{"b":-1.5e3}}`, "a.b")
	f.Add(`{"id":"\u0000"}`, "id")
	f.Add(`[`, ".")
	f.Fuzz(func(t *testing.T, data, field string) {
		id, err := source.IDs{Field: field}.For(1, publisher.Event{Topic: "a", Data: []byte(data)})
		if err != nil {
			assert.ErrorIs(t, err, publisher.ErrInvalid)
			return
		}
		assert.NoError(t, publisher.CheckMsgID(id))
		if field != "" {
			assert.NotEmpty(t, id)
			assert.True(t, json.Valid([]byte(data)))
		}
	})
}
