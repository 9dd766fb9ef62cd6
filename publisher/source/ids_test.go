package source_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

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
		{"of a job", source.IDs{Job: "nightly"}, `{"id":1}`, "nightly:7"},
		{"a string field", source.IDs{Field: "id"}, `{"id":"order-1"}`, "order-1"},
		{"a number field, as written", source.IDs{Field: "id"}, `{"id":1.50}`, "1.50"},
		{"a large number field", source.IDs{Field: "id"}, `{"id":12345678901234567890}`, "12345678901234567890"},
		{"a nested field", source.IDs{Field: "order.id"}, `{"id":1,"order":{"id":"a b"}}`, "a b"},
		{"a field of a job", source.IDs{Job: "nightly", Field: "id"}, `{"id":"x"}`, "nightly:x"},
		{"a field named like another but for its case", source.IDs{Field: "ID"}, `{"id":1,"ID":2}`, "2"},
		{"an escaped string", source.IDs{Field: "id"}, `{"id":"\u00e4"}`, "ä"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ids.For(7, []byte(tt.data))
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
			_, err := source.IDs{Field: tt.field}.For(1, []byte(tt.data))
			assert.ErrorIs(t, err, publisher.ErrInvalid)
		})
	}
}

func TestIDsCheckTheirSettings(t *testing.T) {
	assert.NoError(t, source.IDs{}.Check())
	assert.NoError(t, source.IDs{Job: "nightly", Field: "a.b"}.Check())
	assert.Error(t, source.IDs{Job: "a\nb"}.Check())
	assert.Error(t, source.IDs{Job: " a"}.Check())
	assert.Error(t, source.IDs{Job: strings.Repeat("x", 250)}.Check(), "no room for the number")
	assert.Error(t, source.IDs{Field: "a..b"}.Check())
	assert.Error(t, source.IDs{Field: "."}.Check())
}

func FuzzIDs(f *testing.F) {
	f.Add(`{"id":"a"}`, "id")
	f.Add(`{"a":{"b":-1.5e3}}`, "a.b")
	f.Add(`{"id":"\u0000"}`, "id")
	f.Add(`[`, ".")
	f.Fuzz(func(t *testing.T, data, field string) {
		id, err := source.IDs{Field: field}.For(1, []byte(data))
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
